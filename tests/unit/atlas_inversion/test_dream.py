"""DeepDream against the published code written out, the dense gradient, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.inversion import dream as dreams
from atlas.inversion.dream import Tile
from atlas.inversion.objectives import Objective, deepdream, of_layer

REACH = 4
"""Pixels beyond which a place of the net's output sees nothing."""


def valued(channels: int = 3) -> dreams.Value:
    """Make the mean square of what two convolutions with a rectifier between, seeded, give."""
    net = nn.Sequential(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.Conv2d(6, 4, 5, padding=2))
    generator = torch.Generator().manual_seed(3)
    for parameter in net.requires_grad_(False).parameters():
        parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return dreams.value_of(lambda pictures: {"layer": net((pictures - 0.5) / 0.25)}, deepdream("layer"))


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed))


def dense(value: dreams.Value, picture: Tensor, steps: int, rate: float) -> Tensor:
    """Climb as dream.ipynb's make_step does, without jitter and untiled, in numbers of 0..1."""
    picture = picture.clone()
    for _ in range(steps):
        leaf = picture[None].clone().requires_grad_()
        (slope,) = torch.autograd.grad(value(leaf).sum(), [leaf])
        picture = (picture + rate / 255 * slope[0] / slope.abs().mean()).clamp(0, 1)
    return picture


ONE = {"octaves": 1, "jitter": 0.0, "levels": 0}


def test_one_tile_is_the_published_step() -> None:
    value, picture = valued(), photo(20, 24)
    ours = dreams.dream(value, picture, tile=(20, 24), iterations=5, rate=4.0, **ONE)
    torch.testing.assert_close(ours, dense(value, picture, 5, 4.0), atol=1e-5, rtol=0)


def test_mutant_steps_are_told_from_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    value, picture = valued(), photo(20, 24)

    def by_deviation(picture: Tensor, slope: Tensor, rate: float) -> None:
        picture.add_(slope, alpha=rate / 255 / float(slope.std())).clamp_(0, 1)

    monkeypatch.setattr(dreams, "step_uphill", by_deviation)
    ours = dreams.dream(value, picture, tile=(20, 24), iterations=5, rate=4.0, **ONE)
    assert (ours - dense(value, picture, 5, 4.0)).abs().max() > 1e-3


@pytest.mark.parametrize("batch", [1, 4])
def test_tiles_give_the_dense_gradient_away_from_their_borders(batch: int) -> None:
    value, picture = valued(), photo(90, 101)
    leaf = picture[None].clone().requires_grad_()
    (whole,) = torch.autograd.grad(value(leaf).sum(), [leaf])
    over = dreams.tiles((90, 101), (40, 45), (7, 3))
    tiled = dreams.gradient(value, picture, over, batch=batch)
    inside = torch.ones(90, 101, dtype=torch.bool)
    for tile in over:
        for axis, (start, side) in enumerate(((tile.top, 90), (tile.left, 101))):
            for border in (start, start + tile.size[axis]):
                near = torch.arange(side).sub(border).abs() <= 2 * REACH
                inside &= ~(near[:, None] if axis == 0 else near[None, :])
    edge = 2 * REACH  # a tile that sticks out sees the picture mirrored there; dense, it ends
    inside[:edge] = inside[-edge:] = inside[:, :edge] = inside[:, -edge:] = False
    assert inside.sum() > 1000
    # The mean is over the places of a tile, or of the whole picture.
    scaled = tiled[:, inside] * (40 * 45) / (90 * 101)
    torch.testing.assert_close(scaled, whole[0][:, inside], atol=1e-5 * float(whole.abs().max()), rtol=1e-4)
    wrong = dreams.gradient(value, picture, over[1:] + over[:1], batch=batch)
    torch.testing.assert_close(wrong, tiled)  # the order of the tiles does not matter


def test_mutant_a_tile_put_elsewhere_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    value, picture = valued(), photo(40, 40)
    right = dreams.gradient(value, picture, dreams.tiles((40, 40), (20, 20), (5, 5)))
    put = Tile.put

    def shifted(self: Tile, values: Tensor, picture: Tensor) -> None:
        put(self, values.roll(1, 2), picture)

    monkeypatch.setattr(Tile, "put", shifted)
    wrong = dreams.gradient(value, picture, dreams.tiles((40, 40), (20, 20), (5, 5)))
    assert (wrong - right).abs().max() > 0.1 * right.abs().max()


@pytest.mark.parametrize(
    ("size", "tile", "shift"), [((50, 61), (20, 25), (7, 3)), ((3, 1), (8, 8), (7, 0)), ((8, 8), (8, 8), (0, 0))]
)
def test_every_pixel_lies_in_one_tile(size: tuple[int, int], tile: tuple[int, int], shift: tuple[int, int]) -> None:
    count, where = torch.zeros(1, *size), torch.arange(size[0] * size[1]).float().view(1, *size)
    for one in dreams.tiles(size, tile, shift):
        mine = torch.zeros(1, *size)
        one.put(torch.ones(1, *tile), mine)
        count += mine
        back = where.clone()
        one.put(one.cut(where), back)
        assert torch.equal(back, where)  # what is cut goes back where it was
    assert (count == 1).all()


def test_mirrored_by_hand() -> None:
    assert dreams.mirrored_indices(-4, 11, 3).tolist() == [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]
    assert dreams.mirrored_indices(-2, 4, 1).tolist() == [0, 0, 0, 0]
    assert np.array_equal(dreams.mirrored_indices(-3, 11, 5), np.pad(np.arange(5), 3, mode="symmetric"))


def test_details_go_up_the_octaves_as_published() -> None:
    """Two octaves by hand: dream small, take what was added, enlarge it, add it to the large picture, dream on."""
    value, picture = valued(), photo(28, 42)
    asked = {"iterations": 3, "rate": 3.0, "jitter": 0.0, "levels": 0}
    ours = dreams.dream(value, picture, tile=(28, 42), octaves=2, scale=1.4, **asked)
    small = F.interpolate(picture[None], (20, 30), mode="bilinear", antialias=True)[0]
    # One tile of the full size sees the small picture mirrored, so it is climbed by itself.
    dreamt = small.clone()
    for _ in range(3):
        dreams.step_uphill(dreamt, dreams.gradient(value, dreamt, dreams.tiles((20, 30), (28, 42))), 3.0)
    detail = F.interpolate((dreamt - small)[None], (28, 42), mode="bilinear")[0]
    torch.testing.assert_close(ours, dense(value, picture + detail, 3, 3.0), atol=1e-5, rtol=0)
    without = dense(value, picture, 3, 3.0)
    assert (ours - without).abs().max() > 1e-3  # a dream that forgets its details is told apart


def test_octaves_by_hand() -> None:
    assert dreams.octave_sizes((280, 140), 3, 1.4) == [(143, 71), (200, 100), (280, 140)]
    assert dreams.octave_sizes((3, 1), 4, 1.4) == [(1, 1), (2, 1), (2, 1), (3, 1)]
    assert dreams.default_octaves((3000, 4000), (224, 224)) == 9  # 3000 / 1.4^8 is 203
    assert dreams.default_octaves((200, 300), (224, 224)) == 4


def test_same_seed_same_dream() -> None:
    value, picture = valued(), photo(30, 44)
    first, again, other = (
        dreams.dream(value, picture, tile=(16, 16), octaves=2, iterations=2, seed=seed) for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == picture.shape
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert torch.equal(picture, photo(30, 44))  # what is given stays


def test_each_step_lies_elsewhere() -> None:
    plan = dreams.plan_octaves((64, 64), (16, 16), 2, iterations=8)
    starts = {(over[0].top, over[0].left) for _, steps in plan for over in steps}
    assert len(starts) > 12
    still = dreams.plan_octaves((64, 64), (16, 16), 2, iterations=8, jitter=0.0)
    assert {(over[0].top, over[0].left) for _, steps in still for over in steps} == {(0, 0)}


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (17, 16)])
def test_any_size_and_grey(size: tuple[int, int]) -> None:
    value, picture = valued(1), photo(*size, channels=1)
    dreamt = dreams.dream(value, picture, tile=(16, 16), iterations=2)
    assert dreamt.shape == picture.shape
    assert bool(torch.isfinite(dreamt).all())


def test_dreaming_raises_the_value() -> None:
    value, picture = valued(), photo(40, 40)
    dreamt = dreams.dream(value, picture, tile=(16, 16), iterations=5)
    before, after = (dreams.mean_value(value, shown, tile=(16, 16)) for shown in (picture, dreamt))
    assert after > 1.5 * before
    flat = dreams.dream(lambda pictures: 0 * pictures.sum((1, 2, 3)), picture, tile=(16, 16), iterations=2)
    torch.testing.assert_close(flat, picture)  # no gradient, no change


def test_strength_is_the_mean_over_tiles() -> None:
    picture = photo(8, 4)
    assert dreams.mean_value(lambda p: p.mean((1, 2, 3)), picture, tile=(4, 4), batch=1) == pytest.approx(
        float(picture.mean()), rel=1e-6
    )


def test_evened_gives_coarse_and_fine_the_same_weight() -> None:
    rows = torch.arange(64)
    fine = (-1.0) ** (rows[:, None] + rows[None, :])
    coarse = torch.cos(rows / 64 * 2 * torch.pi)[:, None].expand(64, 64)
    slope = (100 * fine + coarse)[None].expand(3, 64, 64).clone()
    evened = dreams.normalise_levels(slope.clone(), 3)[0]
    shares = [float((evened * part).sum() / (part * part).sum()) for part in (fine, coarse)]
    assert shares[0] == pytest.approx(1.0, rel=0.05)
    # All three levels but the finest hold the cosine alone, and a cosine of root mean square 1 has the amplitude √2.
    assert 1.0 < shares[1] < 3 * 2**0.5
    untouched = dreams.normalise_levels(slope.clone(), 0)
    assert torch.equal(untouched, slope)  # and so the mutant that evens nothing has 100 : 1
    assert bool(torch.isfinite(dreams.normalise_levels(torch.zeros(3, 5, 1), 3)).all())


def published_guide(x: Tensor, y: Tensor) -> Tensor:
    """Write out dream.ipynb's objective_guide: the gradient at the layer, `c h w`."""
    depth = x.shape[0]
    a, b = x.reshape(depth, -1).numpy(), y.reshape(depth, -1).numpy()
    return torch.from_numpy(b[:, a.T.dot(b).argmax(1)]).view(x.shape)


def test_guided_gradient_is_the_published_one() -> None:
    generator = torch.Generator().manual_seed(0)
    x, guide = (torch.randn(6, 5, width, generator=generator) for width in (4, 7))
    maps = x[None].clone().requires_grad_()
    (slope,) = torch.autograd.grad(dreams.guided_objective("layer", guide).value({"layer": maps}).sum(), [maps])
    torch.testing.assert_close(slope[0] * 20, published_guide(x, guide))  # a mean over 5 × 4 places
    assert not torch.allclose(slope[0] * 20, published_guide(x, -guide))


def layer(name: str, side: int = 7) -> Layer:
    return Layer(name=name, units=4, height=side, width=side)


def test_middle_is_the_block_near_six_tenths() -> None:
    names = [f"block{n}{part}" for n in range(10) for part in (".conv", ".norm", ".act", "")]
    assert dreams.default_layer([layer(name) for name in names]).name == "block5"
    assert dreams.default_layer([layer(name) for name in "abcdefghij"]).name == "f"
    assert dreams.default_layer([layer("a"), layer("b", 1), layer("c", 1)]).name == "a"
    with pytest.raises(ValueError, match="more than one position"):
        dreams.default_layer([layer("head", 1)])


@pytest.mark.parametrize(
    "wrong", [{"octaves": 0}, {"iterations": 0}, {"scale": 1.0}, {"jitter": 1.5}, {"jitter": -0.1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a dream takes"):
        dreams.dream(valued(), photo(8, 8), tile=(8, 8), **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one picture"):
        dreams.dream(valued(), photo(8, 8)[None], tile=(8, 8))


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        dreams.dream(lambda p: (p.sum((1, 2, 3)) * 0).sqrt(), photo(8, 8), tile=(8, 8), octaves=1)


# --- mutants: each is a fault, and the test that is to see it


def bordered(start: int, count: int, side: int) -> Tensor:
    return torch.arange(start, start + count).clamp(0, side - 1)


def one_short(size: dreams.Size, tile: dreams.Size, shift: dreams.Size = (0, 0)) -> list[Tile]:
    return [Tile(one.top, one.left, (tile[0], tile[1] - 1)) for one in TILES(size, tile, shift)]


def at_its_own(layer: str, guide: Tensor) -> Objective:
    """Match each position with the guide's at the same place, and not with the likest."""
    vectors = guide.flatten(1)
    return of_layer(layer, lambda maps: (maps.flatten(2) * vectors[:, : maps[0, 0].numel()]).sum(1).mean(1))


def forgetful(picture: Tensor, size: dreams.Size) -> Tensor:
    return RESIZED(picture, size) * (picture.min() >= 0)


TILES, RESIZED = dreams.tiles, dreams.resized
FAULTS: dict[str, tuple[str, Any, Callable[[], None]]] = {
    "edges that are drawn out": ("mirrored_indices", bordered, lambda: test_mirrored_by_hand()),
    "tiles with gaps": ("tiles", one_short, lambda: test_every_pixel_lies_in_one_tile((50, 61), (20, 25), (7, 3))),
    "a guide place by place": ("guided_objective", at_its_own, lambda: test_guided_gradient_is_the_published_one()),
    "details forgotten": ("resized", forgetful, lambda: test_details_go_up_the_octaves_as_published()),
    "levels left as they are": (
        "_to_unit_rms",
        lambda slope: slope,
        lambda: test_evened_gives_coarse_and_fine_the_same_weight(),
    ),
    "one octave fewer": (
        "octave_sizes",
        lambda size, octaves, scale: [(round(size[0] / scale), round(size[1] / scale))] * octaves,
        lambda: test_octaves_by_hand(),
    ),
    "steps that lie where the first did": (
        "plan_octaves",
        lambda *told, jitter=1.0, **more: COURSE(*told, jitter=0.0, **more),
        lambda: test_each_step_lies_elsewhere(),
    ),
}
COURSE = dreams.plan_octaves


@pytest.mark.parametrize("fault", FAULTS)
def test_mutant_dreams_are_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, wrong, seen_by = FAULTS[fault]
    seen_by()
    monkeypatch.setattr(dreams, name, wrong)
    with pytest.raises(AssertionError):
        seen_by()
