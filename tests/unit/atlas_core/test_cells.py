"""Cells against plain loops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas import cells as module
from atlas.arrays import Cells
from atlas.cells import average, can_fill, cell_of, finest_grid


def loops(points: np.ndarray, activations: np.ndarray, rows: list[int], grid: int, min_count: int) -> dict:
    """Average by the definition: {(row, col): (members, mean, coherence)}."""
    boxes: dict[tuple[int, int], list[int]] = {}
    for (x, y), sample in zip(points.tolist(), rows, strict=True):
        box = min(math.floor(y * grid), grid - 1), min(math.floor(x * grid), grid - 1)
        boxes.setdefault(box, []).append(sample)
    found = {}
    for box, members in sorted(boxes.items()):
        if len(members) < min_count:
            continue
        vectors = [activations[i].astype(float).tolist() for i in sorted(members)]
        mean = [math.fsum(v[c] for v in vectors) / len(vectors) for c in range(activations.shape[1])]
        size = math.hypot(*mean)
        cosines = [
            sum(a * b for a, b in zip(v, mean, strict=True)) / (math.hypot(*v) * size) if math.hypot(*v) * size else 0.0
            for v in vectors
        ]
        found[box] = (sorted(members), mean, math.fsum(cosines) / len(cosines))
    return found


def agrees(cells: Cells, right: dict) -> bool:
    """Tell whether cells say exactly what the loops say."""
    boxes = list(zip(cells.row.tolist(), cells.col.tolist(), strict=True))
    if boxes != list(right) or len(cells.offsets) != len(boxes) + 1 or cells.offsets[0] != 0:
        return False
    for i, (members, mean, coherence) in enumerate(right.values()):
        if cells.members[cells.offsets[i] : cells.offsets[i + 1]].tolist() != members or cells.count[i] != len(members):
            return False
        if not np.allclose(cells.mean[i], mean, rtol=1e-6, atol=1e-6) or abs(cells.coherence[i] - coherence) > 1e-6:
            return False
    return int(cells.offsets[-1]) == len(cells.members)


COORDINATE = st.one_of(
    st.floats(0, 1, width=32), st.integers(0, 12).map(lambda i: i / 12), st.sampled_from([0.0, 1.0, 0.99999994])
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(COORDINATE, COORDINATE), max_size=40), st.integers(1, 7), st.integers(1, 4), st.integers(0, 999)
)
def test_cells_are_what_plain_loops_give(places: list, grid: int, min_count: int, seed: int) -> None:
    points = np.array(places, np.float32).reshape(-1, 2)
    rng = np.random.default_rng(seed)
    activations = rng.normal(size=(2 * len(points) + 1, 3)).astype(np.float32)
    activations[rng.random(len(activations)) < 0.2] = 0
    rows = rng.permutation(len(activations))[: len(points)]
    right = loops(points, activations, rows.tolist(), grid, min_count)
    cells = average(points, activations, rows, grid=grid, min_count=min_count)
    assert agrees(cells, right)
    assert cells.count.sum() == sum(len(m) for m, _, _ in right.values())


def test_row_counts_from_the_top_and_column_from_the_left() -> None:
    # Points are (x, y); y = 0 is the top edge. The right and bottom edges belong to the last cell.
    points = np.array([[0, 0], [0.49, 0], [0.5, 0], [1, 0], [0, 0.5], [1, 1]], np.float32)
    assert cell_of(points, 2).tolist() == [0, 0, 1, 1, 2, 3]


def test_each_grid_sums_to_all_samples_and_grids_nest() -> None:
    rng = np.random.default_rng(3)
    points = rng.random((5000, 2)).astype(np.float32)
    points[:200] = np.round(points[:200] * 20) / 20  # on the borders
    counts = {}
    for grid in (20, 40, 80):
        cells = average(points, np.ones((5000, 1), np.float32), grid=grid, min_count=1)
        counts[grid] = np.zeros((grid, grid), int)
        counts[grid][cells.row, cells.col] = cells.count
        assert counts[grid].sum() == 5000
    assert (counts[40].reshape(20, 2, 20, 2).sum((1, 3)) == counts[20]).all()
    assert (counts[80].reshape(40, 2, 40, 2).sum((1, 3)) == counts[40]).all()


def test_bytes_do_not_depend_on_what_is_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    points, activations = rng.random((999, 2)).astype(np.float32), rng.normal(size=(999, 5)).astype(np.float32)
    whole = average(points, activations, grid=4)
    monkeypatch.setattr(module, "CHUNK", 7)
    for a, b in zip(astuple(whole), astuple(average(points, activations, grid=4)), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_nothing_and_too_little_make_no_cells() -> None:
    for n in (0, 4):
        cells = average(np.full((n, 2), 0.5, np.float32), np.ones((n, 6), np.float32), grid=3)
        assert (len(cells.row), cells.mean.shape, cells.offsets.tolist()) == (0, (0, 6), [0])


def test_spread_is_one_where_all_point_the_same_way_and_zero_for_a_zero_mean() -> None:
    along, opposed = np.array([[1, 2], [2, 4], [3, 6]]), np.array([[1, 0], [-1, 0]])
    points = np.array([[0.1, 0.1]] * 3 + [[0.9, 0.9]] * 2, np.float32)
    cells = average(points, np.concatenate([along, opposed]).astype(np.float32), grid=2, min_count=1)
    assert cells.coherence == pytest.approx([1, 0], abs=1e-7)


@pytest.mark.parametrize("point", [(-0.001, 0), (0, 1.001), (np.nan, 0.5)])
def test_points_outside_the_square_are_refused(point: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="point 1 is at"):
        cell_of(np.array([(0.5, 0.5), point], np.float32), 4)


def test_a_grid_is_filled_when_its_cells_hold_the_minimum_on_average() -> None:
    assert can_fill(2000, 20, 5)
    assert not can_fill(1999, 20, 5)
    assert not can_fill(4, 1, 5)
    assert [finest_grid(n, 5) for n in (0, 4, 5, 19, 20, 10_000)] == [0, 0, 1, 1, 2, 44]


def swapped_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = module.cell_of
    monkeypatch.setattr(module, "cell_of", lambda points, grid: honest(points[:, ::-1], grid))


def edges_in_both_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    # As in captum's and lucid's binning: a point on a border is counted in the cells on both sides.
    honest = module._group

    def twice(cell: np.ndarray, rows: np.ndarray, least: int) -> tuple:
        return honest(np.append(cell, (cell[:1] + 1) % 9), np.append(rows, rows[:1]), least)

    monkeypatch.setattr(module, "_group", twice)


def last_member_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = module._chunks

    def short(activations: np.ndarray, rows: np.ndarray) -> Iterator:
        for part, values in honest(activations, rows):
            values[-1] = 0
            yield part, values

    monkeypatch.setattr(module, "_chunks", short)


def spread_to_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = module._cosine
    monkeypatch.setattr(module, "_cosine", lambda a, b: honest(a, a))


@pytest.mark.parametrize("fault", [swapped_axes, edges_in_both_cells, last_member_lost, spread_to_the_middle])
def test_mutant_cells_are_seen(fault, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    points, activations = rng.random((60, 2)).astype(np.float32), rng.normal(size=(60, 4)).astype(np.float32)
    right = loops(points, activations, list(range(60)), 3, 2)
    assert agrees(average(points, activations, grid=3, min_count=2), right)
    fault(monkeypatch)
    assert not agrees(average(points, activations, grid=3, min_count=2), right)
