"""The strongest patches of any images come from stored peaks in the total order: value, key hash, y, x."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from atlas import sampling
from atlas.arrays import SIGNS, Layer, Peaks
from atlas.collect import LayerReduction
from storage.artefacts import peaks
from storage.store.store import Result, Store, stage_key

UNITS, HEIGHT, WIDTH, IMAGES, SHARD = 5, 4, 3, 40, 16
LAYER = Layer(name="l", units=UNITS, height=HEIGHT, width=WIDTH)
IDS = np.arange(100, 100 + IMAGES, dtype=np.int64)
HASHES = sampling.mix(IDS.astype(np.uint64))
BEST = 6
MOST = 8
"""Files of a result."""


def activations() -> torch.Tensor:
    """Return whole numbers in a small range, so that ties are everywhere, with NaN and infinities."""
    data = torch.randint(-3, 4, (IMAGES, UNITS, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1)).float()
    data[3], data[5, 2, 1, 1], data[7, 0] = torch.nan, torch.inf, -torch.inf
    return data


def valid() -> np.ndarray:
    rows = np.ones(IMAGES, np.bool_)
    rows[[11, 30]] = False
    return rows


def shards(store: Store) -> list[Result]:
    """Reduce and store the activations shard by shard, as a run does."""
    found = []
    for first in range(0, IMAGES, SHARD):
        rows = slice(first, min(first + SHARD, IMAGES))
        reduction = LayerReduction(LAYER, IDS[rows], HASHES[rows], seed=0, block=6, keep_peaks=True)
        for start in range(0, rows.stop - first, 3):
            batch = slice(first + start, min(first + start + 3, rows.stop))
            reduction.add(start, activations()[batch], valid()[batch])
        part = reduction.finish()
        assert part.peaks is not None
        with store.draft("peaks", stage_key("peaks", 1, {}, {"first": first})) as draft:
            peaks.write(draft.path, part.peaks, WIDTH)
            found.append(draft.commit({"images": len(part.peaks.image_id), "units": UNITS, "width": WIDTH}))
    return found


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    return shards(Store(tmp_path_factory.mktemp("peaks")))


def by_hand(unit: int, sign: str, chosen: Sequence[int] | None) -> list[tuple[float, int, int, int]]:
    """Return value, image and position of the strongest patches, found by sorting every activation."""
    turn, data, kept = -1 if sign == "positive" else 1, activations()[:, unit].tolist(), []
    for row in np.flatnonzero(valid()):
        if chosen is not None and int(IDS[row]) not in chosen:
            continue
        places = [(data[row][y][x], y, x) for y in range(HEIGHT) for x in range(WIDTH)]
        finite = [place for place in places if math.isfinite(place[0])]
        kept += sorted((turn * value, int(HASHES[row]), y, x, int(IDS[row])) for value, y, x in finite)[:1]
    return [(turn * value + 0.0, image, y, x) for value, _, y, x, image in sorted(kept)[:BEST]]


def stored(parts: list[Result], unit: int, sign: str, chosen: Sequence[int] | None) -> list[tuple[float, ...]]:
    best = peaks.strongest(parts, unit, sign, BEST, chosen)
    return list(zip(*(best[name].tolist() for name in ("value", "image_id", "y", "x")), strict=True))


def selections(count: int) -> list[list[int] | None]:
    rng = random.Random(0)
    return [None, [], [int(IDS[3])], *(rng.sample(IDS.tolist(), rng.randrange(1, IMAGES)) for _ in range(count))]


def check(parts: list[Result], count: int) -> None:
    for chosen in selections(count):
        for unit in range(UNITS):
            for sign in SIGNS:
                assert stored(parts, unit, sign, chosen) == by_hand(unit, sign, chosen), (unit, sign, chosen)


@pytest.mark.sweep
def test_any_selection_has_the_patches_of_its_images(parts: list[Result]) -> None:
    check(parts, 12)


@pytest.mark.slow
def test_two_hundred_selections_have_the_patches_of_their_images(parts: list[Result]) -> None:
    check(parts, 200)


def test_mutant_ties_by_the_order_of_images(parts: list[Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "lexsort", lambda keys: np.argsort(keys[-1], kind="stable"))
    with pytest.raises(AssertionError):
        check(parts, 12)


def test_mutant_images_without_a_finite_value(parts: list[Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "isfinite", lambda values: np.ones(np.shape(values), np.bool_))
    with pytest.raises(AssertionError):
        check(parts, 12)


def test_the_peaks_are_read_as_they_were_written(parts: list[Result]) -> None:
    data, used = activations(), valid()
    for part, first in zip(parts, range(0, IMAGES, SHARD), strict=True):
        read: Peaks = peaks.read(part)
        np.testing.assert_array_equal(read.image_id, IDS[first : first + SHARD])
        for number, row in enumerate(range(first, min(first + SHARD, IMAGES))):
            for unit in range(UNITS):
                of_image = data[row, unit][torch.isfinite(data[row, unit])].numpy()
                expected = [of_image.max(), of_image.min()] if used[row] and len(of_image) else [np.nan, np.nan]
                np.testing.assert_array_equal(read.value[unit, :, number], expected)


def test_peaks_are_few_files_and_eight_bytes(parts: list[Result], tmp_path: Path) -> None:
    assert all(sum(path.is_file() for path in part.path.rglob("*")) <= MOST for part in parts)
    rng, n, units = np.random.default_rng(0), 500, 600
    wide = Peaks(
        image_id=np.arange(n),
        key_hash=np.arange(n, dtype=np.uint64),
        value=rng.normal(size=(units, 2, n)).astype(np.float32),
        y=rng.integers(0, 56, (units, 2, n), np.int32),
        x=rng.integers(0, 56, (units, 2, n), np.int32),
    )
    with Store(tmp_path).draft("peaks", stage_key("peaks", 1, {}, {})) as draft:
        peaks.write(draft.path, wide, 56)
        result = draft.commit({"images": n, "units": units, "width": 56})
    assert sum(file["bytes"] for file in result.manifest["files"].values()) < n * units * 2 * 8
    assert sum(path.is_file() for path in result.path.rglob("*")) <= MOST
    np.testing.assert_array_equal(peaks.read(result, slice(333, 335)).x, wide.x[333:335])
