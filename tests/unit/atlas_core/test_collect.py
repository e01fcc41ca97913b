"""The reduction of activations, against loops over every position."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from atlas import sampling
from atlas.arrays import SIGNS, Layer
from atlas.collect import LayerReduction, Part

UNITS, HEIGHT, WIDTH, IMAGES = 5, 4, 3, 23
LAYER = Layer(name="l", units=UNITS, height=HEIGHT, width=WIDTH)
IDS = np.arange(100, 100 + IMAGES, dtype=np.int64)
HASHES = sampling.mix(IDS.astype(np.uint64))


def activations(seed: int = 0) -> torch.Tensor:
    # Whole numbers in a small range: ties everywhere.
    return torch.randint(-3, 4, (IMAGES, UNITS, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(seed)).float()


def reduced(
    data: torch.Tensor, batch: int, valid: np.ndarray | None = None, patches: int = 1, k: int = 8, block: int = 2048
) -> Part:
    valid = np.ones(IMAGES, bool) if valid is None else valid
    reduction = LayerReduction(
        LAYER, IDS, HASHES, seed=7, samples_per_image=2, patches_per_image=patches, capacity=k, block=block
    )
    for first in range(0, IMAGES, batch):
        reduction.add(first, data[first : first + batch], valid[first : first + batch])
    return reduction.finish()


def brute_force(data: torch.Tensor, unit: int, sign: str, valid: np.ndarray, patches: int, k: int) -> list[tuple]:
    turn = -1 if sign == "positive" else 1
    kept = []
    for i in np.flatnonzero(valid):
        of_image = [
            (float(data[i, unit, y, x]) + 0.0, int(HASHES[i]), y, x, int(IDS[i]))
            for y in range(HEIGHT)
            for x in range(WIDTH)
            if np.isfinite(float(data[i, unit, y, x]))
        ]
        kept += sorted(of_image, key=lambda r: (turn * r[0], r[2], r[3]))[:patches]
    kept.sort(key=lambda r: (turn * r[0], r[1], r[2], r[3]))
    return [(value, image, y, x) for value, _, y, x, image in kept[:k]]


def as_list(part: Part, unit: int, sign: str) -> list[tuple]:
    top = part.top[sign]
    rows = zip(top.value[unit], top.image_id[unit], top.y[unit], top.x[unit], strict=True)
    return [(float(v), int(i), int(y), int(x)) for v, i, y, x in rows if i >= 0]


@pytest.mark.parametrize("batch", [1, 4, 23, 64])
@pytest.mark.parametrize("patches", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_top_patches_equal_brute_force(batch: int, patches: int, channels_last: bool) -> None:
    data = activations()
    data = data.to(memory_format=torch.channels_last) if channels_last else data
    valid = np.arange(IMAGES) % 5 != 2
    part = reduced(data, batch, valid, patches)
    for sign in SIGNS:
        for unit in range(UNITS):
            assert as_list(part, unit, sign) == brute_force(data, unit, sign, valid, patches, 8)


@pytest.mark.parametrize(("batch", "block"), [(4, 4), (4, 8), (1, 5), (23, 23)])
def test_blocks_do_not_show(batch: int, block: int) -> None:
    """Folding every few images gives the arrays of one selection over all, counts included."""
    data = activations(4)
    data[3, 1, 2, 2] = torch.nan
    whole, folded = reduced(data, 23, patches=2), reduced(data, batch, patches=2, block=block)
    for sign in SIGNS:
        for name in ("value", "image_id", "y", "x"):
            assert (getattr(whole.top[sign], name) == getattr(folded.top[sign], name)).all()
        assert (whole.extreme[sign] == folded.extreme[sign]).all()
        assert (whole.extreme_count[sign] == folded.extreme_count[sign]).all()
    assert (whole.nonfinite == folded.nonfinite).all()


@pytest.mark.parametrize("gone", [(4, 16), (0, 20), (8, 23)])
def test_whole_blocks_of_images_that_never_come(gone: tuple[int, int]) -> None:
    """A loader passes over what it can't read; many such images in a row skip more than a block."""
    data, valid = activations(), np.ones(IMAGES, bool)
    valid[slice(*gone)] = False
    reduction = LayerReduction(LAYER, IDS, HASHES, seed=0, capacity=8, block=4)
    for first in range(0, IMAGES, 4):
        if valid[first : first + 4].any():
            reduction.add(first, data[first : first + 4], valid[first : first + 4])
    part = reduction.finish()
    assert part.images == valid.sum()
    for unit in range(UNITS):
        assert as_list(part, unit, "positive") == brute_force(data, unit, "positive", valid, 1, 8)


def test_not_finite_values_are_counted_and_left_out() -> None:
    data = activations(1)
    data[3, 1, 2, 2], data[4, 1, 0, 0], data[5, 2, 1, 1] = torch.nan, torch.inf, -torch.inf
    data[:, 4] = torch.nan
    valid = np.ones(IMAGES, bool)
    part = reduced(data, 4)
    assert part.nonfinite.tolist() == [0, 2, 1, 0, IMAGES * HEIGHT * WIDTH]
    for unit in range(UNITS):
        assert as_list(part, unit, "positive") == brute_force(data, unit, "positive", valid, 1, 8)
    assert as_list(part, 4, "negative") == []


def test_samples_are_the_activations_at_their_positions() -> None:
    data = activations(2)
    valid = np.arange(IMAGES) != 6
    samples = reduced(data, 5, valid).samples
    for row, (image, y, x) in enumerate(zip(samples.image_id, samples.y, samples.x, strict=True)):
        i = int(image - IDS[0])
        assert i == row // 2
        if i == 6:
            assert (y, x) == (-1, -1)
            assert not samples.activations[row].any()
        else:
            assert samples.activations[row].tolist() == data[i, :, y, x].tolist()


def test_ties_at_the_extreme_are_counted_by_image() -> None:
    data = activations(3)
    part = reduced(data, 4)
    for unit in range(UNITS):
        lowest = data[:, unit].flatten(1).min(dim=1).values
        assert part.extreme_count["negative"][unit] == int((lowest == lowest.min()).sum())


def test_positions_leave_out_both_edges_and_reach_all_the_rest() -> None:
    hashes = sampling.mix(np.arange(20_000, dtype=np.uint64))
    y, x = sampling.positions(0, hashes, 14, 7)
    assert sorted(set(y.tolist())) == list(range(1, 13))
    assert sorted(set(x.tolist())) == list(range(1, 6))
    expected = 20_000 / 12
    assert (np.abs(np.bincount(y, minlength=14)[1:13] - expected) < 5 * np.sqrt(expected)).all()
    assert abs(np.corrcoef(y, x)[0, 1]) < 0.03


def test_positions_depend_on_seed_and_key_only() -> None:
    hashes = sampling.mix(np.arange(50, dtype=np.uint64))
    y, _ = sampling.positions(3, hashes, 14, 14)
    turned, _ = sampling.positions(3, hashes[::-1].copy(), 14, 14)
    assert (turned[::-1] == y).all()
    assert (sampling.positions(4, hashes, 14, 14)[0] != y).any()


def test_small_grids_are_sampled_whole() -> None:
    hashes = sampling.mix(np.arange(100, dtype=np.uint64))
    assert set(sampling.positions(0, hashes, 2, 1)[0].tolist()) == {0, 1}
    assert set(sampling.positions(0, hashes, 3, 3)[0].tolist()) == {1}


def test_mutant_last_position_of_equals_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The brute force notices a reduction that takes the last of several equal positions."""

    def last(self: LayerReduction, flat: torch.Tensor, sign: str) -> tuple[torch.Tensor, torch.Tensor]:
        turned = flat.flip(1)
        best = turned.max(dim=1, keepdim=True) if sign == "positive" else turned.min(dim=1, keepdim=True)
        return best.values, (flat.shape[1] - 1 - best.indices).to(torch.int32)

    monkeypatch.setattr(LayerReduction, "_strongest", last)
    data, valid = activations(), np.ones(IMAGES, bool)
    part = reduced(data, 4)
    assert any(as_list(part, u, "positive") != brute_force(data, u, "positive", valid, 1, 8) for u in range(UNITS))
