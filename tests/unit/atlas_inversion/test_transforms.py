"""Transforms against known pixel moves; the presets number by number."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from atlas.inversion import transforms
from atlas.inversion.draws import start_draws
from atlas.inversion.transforms import (
    ATLAS_STEPS,
    LUCID_STEPS,
    PRESETS,
    Jitter,
    Pad,
    Rotate,
    Scale,
    Step,
    Transform,
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
    np.testing.assert_allclose(affine(0, 0, 0)(PICTURE, start_draws([1])), PICTURE, atol=1e-6, rtol=0)
    assert torch.equal(compose(identity, identity)(PICTURE, start_draws([1])), PICTURE)


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
    got = warp([Rotate((90,))], 0.0)(SQUARE, start_draws([0]))
    np.testing.assert_allclose(got, torch.rot90(SQUARE, 1, (2, 3)), atol=1e-5, rtol=0)


def test_reflection_mirrors_the_edge() -> None:
    got = moved(PICTURE, [[1, 0], [0, 1]], [2, 0], "reflection")
    np.testing.assert_allclose(got[..., -1], PICTURE[..., -2], atol=1e-6, rtol=0)
    np.testing.assert_allclose(got[..., -2], PICTURE[..., -1], atol=1e-6, rtol=0)


def test_zoom_by_two_shows_the_middle_half() -> None:
    got = warp([Scale((2.0,))], 0.0)(torch.ones(1, 1, 8, 8) * torch.arange(8.0), start_draws([0]))
    np.testing.assert_allclose(got[0, 0, 3].numpy(), 1.75 + 0.5 * np.arange(8), atol=1e-5)


def bilinear(picture: np.ndarray, angle: float, factor: float, ground: float) -> np.ndarray:
    """Turn by an angle and enlarge by a factor about the middle, pixel by pixel; what is outside is the ground."""
    height, width = picture.shape
    out, turn = np.zeros_like(picture), math.radians(angle)
    for y in range(height):
        for x in range(width):
            right, down = x - (width - 1) / 2, y - (height - 1) / 2
            u = (math.cos(turn) * right - math.sin(turn) * down) / factor + (width - 1) / 2
            v = (math.sin(turn) * right + math.cos(turn) * down) / factor + (height - 1) / 2
            left, top = math.floor(u), math.floor(v)
            for at_x, part_x in ((left, 1 - (u - left)), (left + 1, u - left)):
                for at_y, part_y in ((top, 1 - (v - top)), (top + 1, v - top)):
                    inside = 0 <= at_x < width and 0 <= at_y < height
                    out[y, x] += part_x * part_y * (picture[at_y, at_x] if inside else ground)
    return out


def turned_gap() -> float:
    """How far turns and zooms, alone and after one another, are from the hand calculation."""
    cases = {(30.0, 1.0): [Rotate((30,))], (0.0, 1.3): [Scale((1.3,))], (-17.0, 0.8): [Rotate((-17,)), Scale((0.8,))]}
    found = []
    for (angle, factor), steps in cases.items():
        got = warp(steps, 0.5)(PICTURE, start_draws([0]))[0].numpy()
        wanted = [bilinear(channel, angle, factor, 0.5) for channel in PICTURE[0].double().numpy()]
        found.append(float(np.abs(got - wanted).max()))
    return max(found)


def test_turns_and_zooms_by_hand() -> None:
    assert turned_gap() < 1e-5


@pytest.mark.parametrize("fault", ["the other way round", "shrinks"])
def test_mutant_turns_and_zooms_are_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "shrinks":
        real = Scale.draw
        monkeypatch.setattr(Scale, "draw", lambda self, draws: real(Scale((1 / self.factors[0],)), draws))
    else:
        rotation = transforms._rotation
        monkeypatch.setattr(transforms, "_rotation", lambda degrees: rotation(-degrees))
    assert turned_gap() > 1e-2


def test_pad_widens_by_its_ground() -> None:
    got = warp([Pad(2)], 0.5)(PICTURE, start_draws([0]))
    np.testing.assert_allclose(got, torch.nn.functional.pad(PICTURE, [2] * 4, value=0.5), atol=1e-6, rtol=0)


@pytest.mark.parametrize("pixels", [3, 4])
def test_jitter_cuts_a_window_of_whole_pixels_and_reaches_all_of_them(pixels: int) -> None:
    met, draws = set(), start_draws([7])
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
    one = warp(steps, 0.25)(SQUARE, start_draws([11]))
    draws, by_one = start_draws([11]), SQUARE
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
    scale, rotate, last = ATLAS_STEPS[6:]
    assert last == Jitter(2)
    assert isinstance(scale, Scale)
    wide = [math.exp(n * math.log(0.995)) for n in range(-5, 80)]
    fine = [math.exp(n * math.log(0.998)) for n in range(20, 40)]
    np.testing.assert_allclose(scale.factors, wide + fine + fine, rtol=1e-12)
    np.testing.assert_allclose([scale.factors[0], scale.factors[84]], [1.02538, 0.67301], atol=1e-5)
    assert isinstance(rotate, Rotate)
    thrice = [[*range(-20, 20)], [*range(-10, 10)], [*range(-5, 5)]]
    assert list(rotate.degrees) == [angle for part in thrice for angle in part] + [0] * 5


def changed(steps: tuple[Step, ...], place: int, step: Step) -> tuple[Step, ...]:
    return (*steps[:place], step, *steps[place + 1 :])


PLANTED = {
    "lucid's pad": ("LUCID_STEPS", changed(LUCID_STEPS, 0, Pad(16))),
    "lucid's jitter": ("LUCID_STEPS", changed(LUCID_STEPS, 1, Jitter(16))),
    "lucid's scale": ("LUCID_STEPS", changed(LUCID_STEPS, 2, Scale(tuple(1 + i / 50 for i in range(11))))),
    "lucid's angles": ("LUCID_STEPS", changed(LUCID_STEPS, 3, Rotate(tuple(range(-10, 11))))),
    "the atlas's jitter": ("ATLAS_STEPS", changed(ATLAS_STEPS, 5, Jitter(4))),
    "the atlas's scale": ("ATLAS_STEPS", changed(ATLAS_STEPS, 6, Scale(tuple(0.995**n for n in range(-5, 80))))),
    "the atlas's angles": ("ATLAS_STEPS", changed(ATLAS_STEPS, 7, Rotate((*range(-20, 20), *[0] * 35)))),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_mutant_another_number_in_a_preset_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, steps = PLANTED[fault]
    monkeypatch.setitem(globals(), name, steps)
    with pytest.raises(AssertionError):
        (test_lucid_preset_number_by_number if name == "LUCID_STEPS" else test_atlas_preset_number_by_number)()


@pytest.mark.parametrize(("preset", "side"), [("none", 80), ("affine", 80), ("lucid", 92), ("atlas", 50)])
def test_presets_give_the_published_canvas(preset: str, side: int) -> None:
    assert PRESETS[preset](torch.rand(2, 3, 80, 80), start_draws([1, 2])).shape == (2, 3, side, side)


@pytest.mark.parametrize(("preset", "ground"), [("lucid", 0.5), ("atlas", 1.0)])
def test_presets_surround_pictures_with_the_published_ground(preset: str, ground: float) -> None:
    draws = start_draws(range(20))
    got = torch.stack([PRESETS[preset](torch.full((20, 1, 32, 32), ground), draws) for _ in range(5)])
    np.testing.assert_allclose(got, torch.full_like(got, ground), atol=1e-6, rtol=0)


@pytest.mark.parametrize("transform", [*PRESETS.values(), crop(0.5), noise(0.04)])
def test_draws_are_per_picture(transform: transforms.Transform) -> None:
    same = torch.rand(1, 3, 48, 48).expand(3, -1, -1, -1)
    together = transform(same, start_draws([5, 6, 5]))
    alone = transform(same[:1], start_draws([6]))
    assert torch.equal(together[0], together[2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6, rtol=0)
    assert transform is identity or not torch.allclose(together[0], together[1])


def test_mutant_one_draw_for_the_batch_is_seen() -> None:
    def shared(pictures: torch.Tensor, draws: object) -> torch.Tensor:
        return PRESETS["affine"](pictures, start_draws([5] * len(pictures)))

    with pytest.raises(AssertionError):
        test_draws_are_per_picture(shared)


def test_affine_stays_within_its_ranges() -> None:
    """Undo what was drawn: three points tell the angle, the zoom and the shift."""
    ramp = torch.stack(torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij"))[None] - 32
    draws, met = start_draws([3]), []
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


def crop_sides(move: Transform) -> tuple[float, float, float]:
    """Give the narrowest and the widest cut as shares of the picture, and how far the furthest leaves it, in pixels."""
    ramp = torch.arange(40.0).expand(1, 1, 40, 40)
    draws, sides, outside = start_draws([2]), [], []
    for _ in range(200):
        got = move(ramp, draws)[0, 0, 20]
        sides.append(float(got[21] - got[19]) / 2)
        middle = float(got[19] + got[20]) / 2
        outside.append(abs(middle - 19.5) + sides[-1] * 20 - 20)
    return min(sides), max(sides), max(outside)


def test_crop_stays_inside_and_fills_the_canvas() -> None:
    narrow, wide, outside = crop_sides(crop(0.5))
    assert 0.49 < narrow < 0.55
    assert 0.93 < wide <= 1.001
    assert outside < 0


def test_a_cut_is_shown_at_a_share_of_the_size() -> None:
    """A cut of half the side, shown at half of it, is the pixels themselves; beside the middle it strays as told."""
    ramp = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(12.0), indexing="ij"))[None]
    got = crop(0.5, 0.5, stray=0.0, shown=0.5)(ramp, start_draws([0]))
    np.testing.assert_allclose(got, ramp[:, :, 2:6, 3:9], atol=1e-5)
    wide = crop(0.5, shown=5 / 7)(torch.rand(1, 3, 224, 98), start_draws([1]))
    assert wide.shape == (1, 3, 160, 70)


@pytest.mark.parametrize("shown", [0.25, 1.0])
def test_mutant_a_cut_shown_at_another_size_is_seen(shown: float, monkeypatch: pytest.MonkeyPatch) -> None:
    real = crop
    monkeypatch.setitem(globals(), "crop", lambda *shares, **more: real(*shares, **(more | {"shown": shown})))
    with pytest.raises(AssertionError):
        test_a_cut_is_shown_at_a_share_of_the_size()


@pytest.mark.parametrize("move", [crop(0.3), crop(0.5, 0.7), crop(0.5, stray=1.6)], ids=["narrow", "small", "astray"])
def test_mutant_other_cuts_are_seen(move: Transform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "crop", lambda smallest: move)
    with pytest.raises(AssertionError):
        test_crop_stays_inside_and_fills_the_canvas()


def halved_gap(move: Transform) -> float:
    """How far halving a picture is from averaging each four pixels of a row, then of a column, by 1, 3, 3, 1."""
    rows = torch.rand(1, 1, 8, 12, generator=torch.Generator().manual_seed(2))
    got = move(rows, start_draws([0]))[0, 0, 1:-1, 1:-1].numpy()
    weights = np.array([1, 3, 3, 1]) / 8
    wide = rows[0, 0].double().numpy()
    across = np.stack([wide[:, 2 * x - 1 : 2 * x + 3] @ weights for x in range(1, 5)], 1)
    wanted = np.stack([weights @ across[2 * y - 1 : 2 * y + 3] for y in range(1, 3)])
    return float(np.abs(got - wanted).max())


def test_resize_only_where_needed_and_without_aliasing() -> None:
    assert resize(7, 9)(PICTURE, start_draws([0])) is PICTURE
    assert resize(14, 18)(PICTURE, start_draws([0])).shape == (1, 3, 14, 18)
    assert halved_gap(resize(4, 6)) < 1e-6


def test_mutant_aliasing_is_seen() -> None:
    assert halved_gap(lambda pictures, draws: pictures[:, :, ::2, ::2]) > 1e-2


def noise_gap(move: Callable[[float], Transform]) -> float:
    """How far noise is from the draws of each picture's own generator, times the deviation."""
    shape = (3, 5, 4)
    wanted = [0.25 + 0.04 * draw.standard_normal(shape, dtype=np.float32) for draw in start_draws([1, 2])]
    return float(np.abs(move(0.04)(torch.full((2, *shape), 0.25), start_draws([1, 2])).numpy() - wanted).max())


def test_noise_by_hand() -> None:
    got = noise(0.04)(torch.zeros(2, 3, 64, 64), start_draws([1, 2]))
    assert abs(float(got.std()) - 0.04) < 1e-3
    assert noise_gap(noise) < 1e-6


def test_mutant_a_variance_for_a_deviation_is_seen() -> None:
    assert noise_gap(lambda deviation: noise(deviation**2)) > 1e-2


def test_mutant_jitter_of_half_pixels_and_a_ground_of_zeros_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Jitter.draw
    with monkeypatch.context() as patch:
        patch.setattr(Jitter, "draw", lambda self, draws: (real(self, draws)[0], real(self, draws)[1] + 0.5))
        with pytest.raises((AssertionError, IndexError)):
            test_jitter_cuts_a_window_of_whole_pixels_and_reaches_all_of_them(4)
    monkeypatch.setitem(globals(), "warp", lambda steps, background: warp_of_zeros(steps))
    with pytest.raises(AssertionError):
        test_pad_widens_by_its_ground()


warp_of_zeros = functools.partial(warp, background=0.0)
