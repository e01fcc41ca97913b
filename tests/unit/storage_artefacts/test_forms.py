"""A part of collect, and the cells of a grid, are few files, and are read as they were written in either form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atlas.arrays import SIGNS, Cells, Samples, TopK
from storage.artefacts import arrays, cells, samples
from storage.store.store import Result, Store, stage_key

UNITS, IMAGES, CAPACITY = 5, 9, 64
MOST = 8
"""Files of a part of collect."""


def top(sign: str, seed: int) -> TopK:
    """Return patches of which unit 1 has none, unit 2 all, and the others some."""
    rng, found = np.random.default_rng(seed), TopK.empty(UNITS, sign)
    for unit, count in enumerate((3, 0, CAPACITY, 1, 40)):
        value = np.sort(rng.normal(size=count).astype(np.float32))
        found.value[unit, :count] = value[::-1] if sign == "positive" else value
        found.image_id[unit, :count] = rng.integers(0, 1 << 40, count)
        found.key_hash[unit, :count] = rng.integers(0, 1 << 64, count, np.uint64)
        found.y[unit, :count], found.x[unit, :count] = rng.integers(0, 7, (2, count))
    return found


def counts() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    found: dict[str, np.ndarray] = {"nonfinite": rng.integers(0, 9, UNITS)}
    for sign in SIGNS:
        found[f"{sign}_extreme"] = np.append(rng.normal(size=UNITS - 1), -np.inf).astype(np.float32)
        found[f"{sign}_extreme_count"] = rng.integers(0, 9, UNITS)
    return found


def some_samples() -> Samples:
    rng = np.random.default_rng(4)
    y = np.array([0, 1, -1, 2, 3, 4, 5, 6, -1], np.int32)
    vectors = rng.normal(size=(IMAGES, UNITS)).astype(np.float32)
    vectors[4, 2] = np.nan
    return Samples(activations=vectors, image_id=np.arange(IMAGES), y=y, x=y + 1)


def part(store: Store, form: int) -> Result:
    """Write a part of collect in a form of the store."""
    best, whole = {sign: top(sign, number) for number, sign in enumerate(SIGNS)}, some_samples()
    with store.draft("collect", stage_key("collect", form, {}, {})) as draft:
        if form == 1:
            columns = {f"{sign}_{name}": getattr(best[sign], name) for sign in SIGNS for name in samples.TOP_FIELDS}
            arrays.write_group(draft.path / "samples.zarr", {n: getattr(whole, n) for n in samples.FIELDS})
            arrays.write_group(draft.path / "top.zarr", columns | counts())
        else:
            samples.write_samples(draft.path, whole)
            samples.write_top(draft.path, best, counts())
        return draft.commit(samples.counts(whole))


def files(result: Result) -> int:
    """Count the files in a result's folder, manifest and record included."""
    return sum(path.is_file() for path in result.path.rglob("*"))


@pytest.mark.parametrize("form", [1, 2])
def test_a_part_is_read_as_it_was_written(tmp_path: Path, form: int) -> None:
    result, whole = part(Store(tmp_path), form), some_samples()
    best, found = samples.read_top(result)
    for number, sign in enumerate(SIGNS):
        for name in samples.TOP_FIELDS:
            expected = getattr(top(sign, number), name)
            np.testing.assert_array_equal(getattr(best[sign], name), expected)
            assert getattr(best[sign], name).dtype == expected.dtype
    assert found.keys() == counts().keys()
    for name, column in counts().items():
        np.testing.assert_array_equal(found[name], column)
        assert found[name].dtype == column.dtype
    used = (whole.y >= 0) & np.isfinite(whole.activations).all(axis=1)
    read, places = samples.read_samples([result]), samples.read_positions([result])
    for name in samples.FIELDS:
        np.testing.assert_array_equal(getattr(read, name), getattr(whole, name)[used])
    for name in samples.PLACES:
        np.testing.assert_array_equal(places[name], getattr(whole, name)[used])


def test_mutant_ranks_from_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = samples._unranked

    def shifted(columns: dict[str, np.ndarray], *of: object) -> TopK:
        return real(columns | {"rank": (columns["rank"] + 1) % CAPACITY}, *of)  # type: ignore[arg-type]

    monkeypatch.setattr(samples, "_unranked", shifted)
    with pytest.raises(AssertionError):
        test_a_part_is_read_as_it_was_written(tmp_path, 2)


def test_a_part_is_few_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert files(part(store, 2)) <= MOST < files(part(store, 1))


def grid_cells() -> tuple[Cells, dict[str, np.ndarray]]:
    """Return three cells of seven samples, and the samples' places."""
    count = np.array([4, 1, 2])
    rng = np.random.default_rng(5)
    averages = Cells(
        grid=4,
        row=np.array([0, 1, 3], np.int32),
        col=np.array([2, 0, 3], np.int32),
        count=count,
        mean=rng.normal(size=(3, UNITS)).astype(np.float32),
        coherence=rng.random(3).astype(np.float32),
        offsets=np.append(0, np.cumsum(count)),
        members=np.array([3, 4, 7, 9, 1, 0, 2]),
    )
    places = {"image_id": np.arange(7) * 3, "y": np.arange(7, dtype=np.int32), "x": np.arange(7, dtype=np.int32) + 2}
    return averages, places


def written_cells(store: Store, form: int) -> Result:
    averages, places = grid_cells()
    with store.draft("cells", stage_key("cells", form, {}, {})) as draft:
        if form == 1:
            columns = {cells.FIRST_NAMES.get(name, name): getattr(averages, name) for name in cells.AVERAGES}
            arrays.write_group(draft.path / "cells.zarr", columns | places)
        else:
            cells.write(draft.path, averages, places)
        return draft.commit({"cells": 3})


@pytest.mark.parametrize("form", [1, 2])
def test_cells_are_read_as_they_were_written(tmp_path: Path, form: int) -> None:
    result, (averages, places) = written_cells(Store(tmp_path), form), grid_cells()
    for name, expected in {**{name: getattr(averages, name) for name in cells.AVERAGES}, **places}.items():
        found = cells.array(result, name)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype, name
    np.testing.assert_array_equal(cells.array(result, "mean", slice(1, 2)), averages.mean[1:2])
    np.testing.assert_array_equal(cells.array(result, "row", np.array([2, 0])), averages.row[[2, 0]])


def test_mutant_samples_counted_from_another_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cells.SAMPLE_COLUMNS, "members", "image_id")
    with pytest.raises(AssertionError):
        test_cells_are_read_as_they_were_written(tmp_path, 2)


def test_cells_are_few_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert files(written_cells(store, 2)) <= MOST < files(written_cells(store, 1))
