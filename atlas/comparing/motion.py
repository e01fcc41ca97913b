"""Measure the motion between two layouts of the same samples: by sample, by label, by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Cells, Float, Int
from atlas.cells import average, cell_of
from atlas.comparing.drift import Double, total_variation
from atlas.layout.alignment import match_quantiles, register

MIN_DISPLACEMENT = 1e-3
"""Displacement below this, relative to the square's side, never counts as motion: it is too small to be visible."""

NOISE_QUANTILE = 0.95
"""Quantile of the noise beyond which a sample counts as moved: 5 of 100 still samples exceed it."""

CELL_NOISE_QUANTILE = 0.99
"""Quantile of the noise beyond which a cell counts as changed; stricter, as there are hundreds of cells."""

STILL, TURNED, MIXED = 0.01, 0.9, 0.5
"""STILL: one minus the cosine, or change of the label mix, up to which a cell never counts as changed. TURNED, MIXED:
the cosine below which and the change of the label mix above which it does, if the noise was not measured."""


def align(points: Float, onto: Float, moved: Float) -> Float:
    """Align the layout `moved` with another, by shared samples `n` that lie at `points` in the first, `onto` in the other.

    Applies the best similarity (reflections allowed), then bends each axis to the other's quantiles, as for a layout
    that starts from an earlier one; points outside the square are clipped to its edge.
    """
    if not len(points):
        return moved
    source, target = points.astype(np.float64), onto.astype(np.float64)
    placed = register(source, target, moved.astype(np.float64))
    registered = register(source, target, source)
    return np.clip(match_quantiles(registered, target, placed), 0, 1).astype(np.float32)


def displacement(a: Float, b: Float) -> Double:
    """Compute the distance each sample moved, `n`, relative to the square's side."""
    distances: Double = np.linalg.norm(b.astype(np.float64) - a.astype(np.float64), axis=1)
    return distances


def share_beyond(moved: Double, noise: Double) -> float:
    """Compute the share of the samples that moved further than `threshold(noise)`."""
    return float((moved > threshold(noise)).mean()) if len(moved) else 0.0


def threshold(noise: Double) -> float:
    """Return the displacement beyond which a sample counts as moved: noise exceeds it one time in twenty."""
    return max(float(np.quantile(noise, NOISE_QUANTILE)), MIN_DISPLACEMENT) if len(noise) else MIN_DISPLACEMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifts:
    """Motion by label, `l`: the number of samples, their mean motion (x, y), and the mean distance they moved."""

    label: Int
    count: Int
    mean: Double
    distance: Double


def shifts(a: Float, b: Float, labels: Int) -> Shifts:
    """Average the motion of the samples by label; −1 is no label."""
    labelled = labels >= 0
    values, group, counts = np.unique(labels[labelled], return_inverse=True, return_counts=True)
    motion = b[labelled].astype(np.float64) - a[labelled].astype(np.float64)
    sums = np.zeros((len(values), 2))
    np.add.at(sums, group, motion)
    lengths = np.bincount(group, np.linalg.norm(motion, axis=1), len(values))
    return Shifts(
        label=values.astype(np.int64),
        count=counts.astype(np.int64),
        mean=sums / counts[:, None],
        distance=lengths / counts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChanges:
    """The cells of a grid that either layout fills, in row-major order.

    `count` is `n 2`, old and new. `overlap` is the share of members that stayed (of those in either), `cosine` the
    cosine between the old mean and the new, `mix` the total variation between the label mixes; NaN if a cell is filled
    in one layout only, or has no labels.
    """

    row: NDArray[np.int32]
    col: NDArray[np.int32]
    count: Int
    overlap: Double
    cosine: Double
    mix: Double

    @property
    def both(self) -> NDArray[np.bool_]:
        """Cells filled in both layouts."""
        return np.isfinite(self.overlap)


def cell_changes(
    a: tuple[Float, Float], b: tuple[Float, Float], labels: Int, *, grid: int, min_count: int
) -> CellChanges:
    """Compare the cells of two layouts of the same samples; `a` and `b` are their points `n 2` and activations `n c`.

    A cell is filled if it holds at least `min_count` of these samples.
    """
    where = [cell_of(points, grid) for points, _ in (a, b)]
    counts = np.stack([np.bincount(cell, minlength=grid * grid) for cell in where], axis=1)
    filled = counts >= min_count
    cells = np.flatnonzero(filled.any(axis=1))
    both = filled[cells].all(axis=1)
    stayed = np.flatnonzero(where[0] == where[1])
    stay_counts = np.bincount(where[0][stayed], minlength=grid * grid)
    shares = stay_counts / np.maximum(counts.sum(axis=1) - stay_counts, 1)
    means = [average(points, values, grid=grid, min_count=min_count) for points, values in (a, b)]
    mixes = [_mix(cell, labels, cells) for cell in where]
    return CellChanges(
        row=(cells // grid).astype(np.int32),
        col=(cells % grid).astype(np.int32),
        count=counts[cells].astype(np.int64),
        overlap=np.where(both, shares[cells], np.nan),
        cosine=np.where(both, _cosines(means, cells), np.nan),
        mix=np.where(both, total_variation(*mixes), np.nan),
    )


def changed_cells(changes: CellChanges, noise: CellChanges | None) -> NDArray[np.bool_]:
    """Tell which of the cells filled in both layouts have changed their content, `n`.

    A cell has changed if its mean has turned, or its label mix has changed, more than for one noisy cell in a hundred
    (`CELL_NOISE_QUANTILE`); if the noise was not measured, more than `TURNED` or `MIXED`. A change within `STILL` never
    counts.
    """
    cosine, mix = TURNED, MIXED
    if noise is not None and noise.both.any():
        cosine = (
            float(np.nanquantile(noise.cosine, 1 - CELL_NOISE_QUANTILE)) if np.isfinite(noise.cosine).any() else TURNED
        )
        mix = float(np.nanquantile(noise.mix, CELL_NOISE_QUANTILE)) if np.isfinite(noise.mix).any() else MIXED
    return (changes.cosine < min(cosine, 1 - STILL)) | (changes.mix > max(mix, STILL))


def _cosines(means: list[Cells], cells: Int) -> Double:
    """Compute the cosine between the two means of each cell; NaN if one is missing or zero."""
    rows = []
    for cells_means in means:
        mean = np.full((len(cells), cells_means.mean.shape[1]), np.nan)
        mean[np.searchsorted(cells, cells_means.row.astype(np.int64) * cells_means.grid + cells_means.col)] = (
            cells_means.mean
        )
        rows.append(mean)
    lengths = np.linalg.norm(rows[0], axis=1) * np.linalg.norm(rows[1], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines: Double = (rows[0] * rows[1]).sum(axis=1) / lengths
    return cosines


def _mix(where: Int, labels: Int, cells: Int) -> Int:
    """Count the labels in each cell, `n l`."""
    label_count = int(labels.max(initial=-1)) + 1
    place = np.full(int(max(where.max(initial=0), cells.max(initial=0))) + 1, -1)
    place[cells] = np.arange(len(cells))
    labelled = (labels >= 0) & (place[where] >= 0)
    counts = np.bincount(place[where[labelled]] * label_count + labels[labelled], minlength=len(cells) * label_count)
    return counts.reshape(len(cells), label_count).astype(np.int64)


def arrows(a: Float, b: Float, *, grid: int, min_count: int = 1) -> tuple[Double, Double, Int]:
    """Average the motion into arrows, one for each cell of the old layout with at least `min_count` samples.

    Returns the mean old and mean new point of the cell's samples, `m 2` each, and their number.
    """
    cells, group, counts = np.unique(cell_of(a, grid), return_inverse=True, return_counts=True)
    places = []
    for points in (a, b):
        sums = np.zeros((len(cells), 2))
        np.add.at(sums, group, points.astype(np.float64))
        places.append((sums / counts[:, None])[counts >= min_count])
    return places[0], places[1], counts[counts >= min_count].astype(np.int64)
