"""Transforms against known pixel moves; the presets number by number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from atlas.inversion import transforms
from atlas.inversion.draws import start
from atlas.inversion.transforms import (
    ATLAS_STEPS,
    LUCID_STEPS,
    PRESETS,
    Jitter,
    Pad,
    Rotate,
    Scale,
    affine,
    compose,
    crop,
    identity,
    noise,
    resample,
    resize,
    warp,
)

PICTURE = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0))
SQUARE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def moved(picture: torch.Tensor, turn: list[list[float]], shift: list[float], padding: str = "zeros") -> torch.Tensor:
    return resample(picture, torch.tensor([turn]), torch.tensor([shift]), tuple(picture.shape[2:]), padding)


def test_no_move_changes_nothing() -> None:
    np.testing.assert_allclose(moved(PICTURE, [[1, 0], [0, 1]], [0, 0]), PICTURE, atol=1e-6, rtol=0)
    np.testing.assert_allclose(affine(0, 0, 0)(PICTURE, start([1])), PICTURE, atol=1e-6, rtol=0)
    assert torch.equal(compose(identity, identity)(PICTURE, start([1])), PICTURE)


def shift_fault() -> float:
    """Reading 2 px to the right and 1 px down must equal slicing."""
    got = moved(PICTURE, [[1, 0], [0, 1]], [2, 1])
    return float((got[:, :, :-1, :-2] - PICTURE[:, :, 1:, 2:]).abs().max())


def test_a_shift_moves_whole_pixels_and_uncovers_zeros() -> None:
    assert shift_fault() < 1e-6
    assert float(moved(PICTURE, [[1, 0], [0, 1]], [2, 1])[:, :, -1].abs().max()) == 0


def test_mutant_corners_aligned_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.nn.functional.grid_sample
    monkeypatch.setattr(transforms.F, "grid_sample", lambda *a, align_corners, **k: real(*a, align_corners=True, **k))
    assert shift_fault() > 1e-3


def test_a_quarter_turn_is_rot90() -> None:
    got = warp([Rotate((90,))], 0.0)(SQUARE, start([0]))
    np.testing.assert_allclose(got, torch.rot90(SQUARE, 1, (2, 3)), atol=1e-5, rtol=0)


def test_reflection_mirrors_the_edge() -> None:
    got = moved(PICTURE, [[1, 0], [0, 1]], [2, 0], "reflection")
    np.testing.assert_allclose(got[..., -1], PICTURE[..., -2], atol=1e-6, rtol=0)
    np.testing.assert_allclose(got[..., -2], PICTURE[..., -1], atol=1e-6, rtol=0)


def test_zoom_by_two_shows_the_middle_half() -> None:
    got = warp([Scale((2.0,))], 0.0)(torch.ones(1, 1, 8, 8) * torch.arange(8.0), start([0]))
    np.testing.assert_allclose(got[0, 0, 3].numpy(), 1.75 + 0.5 * np.arange(8), atol=1e-5)


def test_pad_widens_by_its_ground() -> None:
    got = warp([Pad(2)], 0.5)(PICTURE, start([0]))
    np.testing.assert_allclose(got, torch.nn.functional.pad(PICTURE, [2] * 4, value=0.5), atol=1e-6, rtol=0)


@pytest.mark.parametrize("pixels", [3, 4])
def test_jitter_cuts_a_window_of_whole_pixels_and_reaches_all_of_them(pixels: int) -> None:
    met, draws = set(), start([7])
    for _ in range(200):
        got = warp([Jitter(pixels)], 0.0)(SQUARE, draws)
        top, left = np.argwhere(np.isclose(SQUARE[0, 0], got[0, 0, 0, 0], atol=1e-5))[0]
        window = SQUARE[:, :, top : top + 8 - pixels, left : left + 8 - pixels]
        np.testing.assert_allclose(got, window, atol=1e-5, rtol=0)
        met.add((top, left))
    assert met == {(top, left) for top in range(pixels + 1) for left in range(pixels + 1)}


def test_steps_of_a_list_follow_one_another() -> None:
    """A list in one resampling equals the steps one by one where each moves whole pixels."""
    steps = [Pad(2), Rotate((90,)), Jitter(4), Rotate((180,))]
    one = warp(steps, 0.25)(SQUARE, start([11]))
    draws, by_one = start([11]), SQUARE
    for step in steps:
        by_one = warp([step], 0.25)(by_one, draws)
    np.testing.assert_allclose(one, by_one, atol=1e-5, rtol=0)


def test_lucid_preset_number_by_number() -> None:
    factors = (0.90, 0.92, 0.94, 0.96, 0.98, 1.00, 1.02, 1.04, 1.06, 1.08, 1.10)
    pad, jitter, scale, rotate, last = LUCID_STEPS
    assert (pad, jitter, last) == (Pad(12), Jitter(8), Jitter(4))
    assert isinstance(scale, Scale)
    np.testing.assert_allclose(scale.factors, factors, atol=1e-12)
    assert isinstance(rotate, Rotate)
    assert list(rotate.degrees) == [-10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] + [0] * 5


def test_atlas_preset_number_by_number() -> None:
    assert ATLAS_STEPS[:6] == (Pad(2), Jitter(4), Jitter(4), Jitter(8), Jitter(8), Jitter(8))
    assert ATLAS_STEPS[8:] == (Jitter(2),)
    scale, rotate = ATLAS_STEPS[6:8]
    assert isinstance(scale, Scale)
    assert len(scale.factors) == 85 + 2 * 20
    np.testing.assert_allclose(scale.factors[0], 1.02538, atol=1e-5)
    np.testing.assert_allclose(scale.factors[84], 0.67301, atol=1e-5)
    np.testing.assert_allclose([scale.factors[85], scale.factors[104]], [0.96076, 0.92490], atol=1e-5)
    assert scale.factors[85:105] == scale.factors[105:]
    assert isinstance(rotate, Rotate)
    assert len(rotate.degrees) == 40 + 20 + 10 + 5
    assert (rotate.degrees[0], rotate.degrees[39], rotate.degrees[40], rotate.degrees[59]) == (-20, 19, -10, 9)
    assert rotate.degrees[60:] == (-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(("preset", "side"), [("none", 80), ("affine", 80), ("lucid", 92), ("atlas", 50)])
def test_presets_give_the_published_canvas(preset: str, side: int) -> None:
    assert PRESETS[preset](torch.rand(2, 3, 80, 80), start([1, 2])).shape == (2, 3, side, side)


@pytest.mark.parametrize(("preset", "ground"), [("lucid", 0.5), ("atlas", 1.0)])
def test_presets_surround_pictures_with_the_published_ground(preset: str, ground: float) -> None:
    draws = start(range(20))
    got = torch.stack([PRESETS[preset](torch.full((20, 1, 32, 32), ground), draws) for _ in range(5)])
    np.testing.assert_allclose(got, torch.full_like(got, ground), atol=1e-6, rtol=0)


@pytest.mark.parametrize("transform", [*PRESETS.values(), crop(0.5), noise(0.04)])
def test_draws_are_per_picture(transform: transforms.Transform) -> None:
    same = torch.rand(1, 3, 48, 48).expand(3, -1, -1, -1)
    together = transform(same, start([5, 6, 5]))
    alone = transform(same[:1], start([6]))
    assert torch.equal(together[0], together[2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6, rtol=0)
    assert transform is identity or not torch.allclose(together[0], together[1])


def test_mutant_one_draw_for_the_batch_is_seen() -> None:
    def shared(pictures: torch.Tensor, draws: object) -> torch.Tensor:
        return PRESETS["affine"](pictures, start([5] * len(pictures)))

    with pytest.raises(AssertionError):
        test_draws_are_per_picture(shared)


def test_affine_stays_within_its_ranges() -> None:
    """Undo what was drawn: three points tell the angle, the zoom and the shift."""
    ramp = torch.stack(torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij"))[None] - 32
    draws, met = start([3]), []
    for _ in range(300):
        got = affine(10, 0.1, 8)(ramp, draws)[0, :, 26:39, 26:39]
        across = (got[:, 6, 12] - got[:, 6, 0]) / 12
        met.append(
            [*got[:, 6, 6].tolist(), float(across.norm()), float(torch.rad2deg(torch.atan2(across[0], across[1])))]
        )
    low, high = np.min(met, axis=0), np.max(met, axis=0)
    np.testing.assert_allclose(low, [-8, -8, 1 / 1.1, -10], rtol=0.05)
    np.testing.assert_allclose(high, [8, 8, 1 / 0.9, 10], rtol=0.05)
    assert (low >= [-8.001, -8.001, 0.909, -10.001]).all()
    assert (high <= [8.001, 8.001, 1.1112, 10.001]).all()


def test_crop_stays_inside_and_fills_the_canvas() -> None:
    ramp = torch.arange(40.0).expand(1, 1, 40, 40)
    draws = start([2])
    sides = []
    for _ in range(200):
        got = crop(0.5)(ramp, draws)[0, 0, 20]
        sides.append(float(got[-1] - got[0]) / 39)
        assert got.min() >= 0
        assert got.max() <= 39
    assert 0.49 < min(sides) < 0.55
    assert 0.93 < max(sides) <= 1.0


def test_resize_only_where_needed() -> None:
    assert resize(7, 9)(PICTURE, start([0])) is PICTURE
    assert resize(14, 18)(PICTURE, start([0])).shape == (1, 3, 14, 18)


def test_noise_has_its_deviation() -> None:
    got = noise(0.04)(torch.zeros(2, 3, 64, 64), start([1, 2]))
    assert abs(float(got.std()) - 0.04) < 1e-3
