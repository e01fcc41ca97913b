"""Average the activations of a layout cell by cell."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Cells, Float, Int

MIN_COUNT = 5
"""Samples a cell needs, as in lucid's atlas recipe (it keeps cells with more than 5)."""

CHUNK = 8192
"""Samples read and summed at a time; the sums do not depend on it."""


def can_fill(n: int, grid: int, min_count: int = MIN_COUNT) -> bool:
    """Check whether n samples fill a grid of `grid` × `grid` cells well enough to be worth drawing icons for.

    They do if the cells, including empty ones, hold `min_count` each on average: on 10,000 photographs and three layers
    0.89 to 0.96 of the samples then lie in cells that are large enough; with half as many samples, 0.60 to 0.86.
    """
    return grid <= finest_grid(n, min_count)


def finest_grid(n: int, min_count: int = MIN_COUNT) -> int:
    """Return the side of the finest grid that n samples can fill, 0 if there is none."""
    return math.isqrt(n // min_count)


COARSEST = 8
"""Side of the coarsest grid whose icons others start from: on coarser ones cells and their parents have little in common."""


def parent_grid(grid: int) -> int | None:
    """Return the side of the grid of half as many cells a side, from whose icons a grid's start; None if it is too coarse.

    It depends on the grid alone, not on which others there are.
    """
    parent = -(-grid // 2)
    return parent if parent >= COARSEST else None


def parent_rows(row: Int, col: Int, grid: int, coarse_row: Int, coarse_col: Int, coarse: int) -> Int:
    """Return for each cell of a grid which of the given cells of a coarser grid holds its centre, −1 if none does."""
    row, col, coarse_row, coarse_col = (np.asarray(part, dtype=np.int64) for part in (row, col, coarse_row, coarse_col))
    numbers = np.full(coarse * coarse, -1, dtype=np.int64)
    numbers[coarse_row * coarse + coarse_col] = np.arange(len(coarse_row))
    down, across = ((2 * part + 1) * coarse // (2 * grid) for part in (row, col))
    return np.asarray(numbers[down * coarse + across])


def cell_of(points: Float, grid: int) -> Int:
    """Return the cell of each point `n 2` (x, y) in the unit square, as row · grid + column.

    Row = floor(y · grid), counted from the top of the picture (y = 0 is the top edge), column = floor(x · grid), from
    the left. A border between two cells belongs to the lower or right one, except the right and bottom edges of the
    square, which belong to the last cell, so each point is in exactly one.

    Raises ValueError for points outside the square, which includes NaN.
    """
    if grid < 1:
        raise ValueError(f"a grid has at least one cell a side, not {grid}")
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points have the shape (n, 2), not {points.shape}")
    outside = np.flatnonzero(~((points >= 0) & (points <= 1)).all(axis=1))
    if len(outside):
        raise ValueError(f"point {outside[0]} is at {points[outside[0]].tolist()}, outside the unit square")
    # Float64: in float32, 0.99999997 · 20 is 20. A power of two times the grid then nests exactly in the grid.
    place = np.minimum((points.astype(np.float64) * grid).astype(np.int64), grid - 1)
    return place[:, 1] * grid + place[:, 0]


def average(
    points: Float, activations: Float, rows: Int | None = None, *, grid: int, min_count: int = MIN_COUNT
) -> Cells:
    """Average `activations` over the cells that hold at least `min_count` points of the layout.

    Point i is the activation of sample `rows[i]` (sample i if no rows are given), so that a layout of part of the
    samples can be averaged; `activations`, `s c`, may be a memmap: it is read twice in row order, a chunk at a time.
    Cells are in row-major order, members ascending.

    The mean is summed in float64 in the order of the members, whatever the chunk size. The coherence is the mean cosine of
    the members to the cell's mean: 1 if all have the same direction; vectors of length zero count as 0, and a cell
    whose mean is zero has coherence 0.
    """
    rows = np.arange(len(points), dtype=np.int64) if rows is None else np.asarray(rows, dtype=np.int64)
    if len(rows) != len(points):
        raise ValueError(f"{len(points)} points, but {len(rows)} sample rows")
    if min_count < 1:
        raise ValueError(f"a cell needs at least one sample, not {min_count}")
    cells, starts, counts, members = _group(cell_of(points, grid), rows, min_count)
    mean, coherence = _moments(activations, members, starts, counts)
    return Cells(
        grid=grid,
        row=(cells // grid).astype(np.int32),
        col=(cells % grid).astype(np.int32),
        count=counts,
        mean=mean.astype(np.float32),
        coherence=coherence.astype(np.float32),
        offsets=np.append(starts, len(members)).astype(np.int64),
        members=members,
    )


def _group(cell: Int, rows: Int, min_count: int) -> tuple[Int, Int, Int, Int]:
    """Sort samples by cell, then row; return the cells large enough, their starts, counts, and concatenated members."""
    order = np.lexsort((rows, cell))
    cells, counts = np.unique(cell, return_counts=True)
    large = counts >= min_count
    members = rows[order][np.repeat(large, counts)]
    counts = counts[large].astype(np.int64)
    return cells[large], np.cumsum(counts) - counts, counts, members


def _moments(
    activations: Float, members: Int, starts: Int, counts: Int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the mean `n c` and coherence `n` of each cell, reading the samples in row order."""
    order = np.argsort(members, kind="stable")
    rows, cell = members[order], np.repeat(np.arange(len(starts)), counts)[order]
    sums = np.zeros((len(starts), activations.shape[1]))
    for part, values in _chunks(activations, rows):
        np.add.at(sums, cell[part], values)
    mean = sums / counts[:, None]
    cosines = np.zeros(len(starts))
    for part, values in _chunks(activations, rows):
        np.add.at(cosines, cell[part], _cosine(values, mean[cell[part]]))
    return mean, cosines / counts


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the cosine of each pair of rows, 0 if either is zero."""
    lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    dots = (a * b).sum(axis=1)
    cosine: NDArray[np.float64] = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return cosine


def _chunks(activations: Float, rows: Int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    for first in range(0, len(rows), CHUNK):
        part = slice(first, first + CHUNK)
        yield part, np.asarray(activations[rows[part]], dtype=np.float64)
