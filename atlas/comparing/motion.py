"""What moved between two layouts of the same samples: each sample, each label, each cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Cells, Float, Int
from atlas.cells import average, cell_of
from atlas.comparing.drift import Double, total_variation
from atlas.layout.alignment import follow, register

FINEST = 1e-3
"""Displacement below this, in parts of the square's side, is never called motion: a picture does not show it."""

NOISY = 0.95
"""Quantile of the noise beyond which something counts as more than noise: of 100 still samples 5 go beyond."""

CERTAIN = 0.99
"""Quantile of the noise beyond which a cell counts as changed: there are hundreds of them."""

STILL, TURNED, MIXED = 0.01, 0.9, 0.5
"""One minus the cosine, or the change of the label mix, that is never a change; and the cosine and the change of the
label mix from which on a cell counts as changed where the noise was not measured."""


def bring_over(points: Float, onto: Float, moved: Float) -> Float:
    """Bring the layout `moved` into another's frame, by the samples `n` whose places are `points` here, `onto` there.

    The best similarity (reflections allowed), then each axis bent to the other's quantiles, as a layout is that starts
    from an earlier one; places beyond the square come to lie on its edge.
    """
    if not len(points):
        return moved
    drawn, target = points.astype(np.float64), onto.astype(np.float64)
    placed = register(drawn, target, moved.astype(np.float64))
    here = register(drawn, target, drawn)
    return np.clip(follow(here, target, placed), 0, 1).astype(np.float32)


def displacement(a: Float, b: Float) -> Double:
    """Compute how far each sample lies from where it lay, `n`, in parts of the square's side."""
    far: Double = np.linalg.norm(b.astype(np.float64) - a.astype(np.float64), axis=1)
    return far


def beyond(moved: Double, noise: Double) -> float:
    """Compute which share of the samples moved further than the noise does but one time in twenty (`NOISY`)."""
    return float((moved > bar(noise)).mean()) if len(moved) else 0.0


def bar(noise: Double) -> float:
    """Return the displacement beyond which a sample counts as moved."""
    return max(float(np.quantile(noise, NOISY)), FINEST) if len(noise) else FINEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifts:
    """Motion by label, `l`: how many samples, their mean motion (x, y), and how far they moved on average."""

    label: Int
    count: Int
    mean: Double
    distance: Double


def shifts(a: Float, b: Float, labels: Int) -> Shifts:
    """Average the motion of the samples of each label; −1 is no label."""
    kept = labels >= 0
    found, group, counts = np.unique(labels[kept], return_inverse=True, return_counts=True)
    motion = b[kept].astype(np.float64) - a[kept].astype(np.float64)
    sums = np.zeros((len(found), 2))
    np.add.at(sums, group, motion)
    lengths = np.bincount(group, np.linalg.norm(motion, axis=1), len(found))
    return Shifts(
        label=found.astype(np.int64),
        count=counts.astype(np.int64),
        mean=sums / counts[:, None],
        distance=lengths / counts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChanges:
    """The cells of a grid that either layout fills, in row-major order.

    `count` is `n 2`, old and new. `overlap` is the share of members that stayed (of those that either has), `cosine`
    that of the old mean to the new, `mix` the total variation between the label mixes; NaN where a cell is filled in
    one layout only, or has no labels.
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

    A cell is filled that holds at least `min_count` of these samples.
    """
    where = [cell_of(points, grid) for points, _ in (a, b)]
    counts = np.stack([np.bincount(cell, minlength=grid * grid) for cell in where], axis=1)
    filled = counts >= min_count
    cells = np.flatnonzero(filled.any(axis=1))
    both = filled[cells].all(axis=1)
    stayed = np.flatnonzero(where[0] == where[1])
    kept = np.bincount(where[0][stayed], minlength=grid * grid)
    shares = kept / np.maximum(counts.sum(axis=1) - kept, 1)
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


def changed(changes: CellChanges, noise: CellChanges | None) -> NDArray[np.bool_]:
    """Tell which cells filled in both layouts hold something else than they did, `n`.

    Their mean has turned, or their labels have changed, further than those of one noisy cell in a hundred (`CERTAIN`);
    where the noise was not measured, further than `TURNED` or `MIXED`. What is within `STILL` is never a change.
    """
    cosine, mix = TURNED, MIXED
    if noise is not None and noise.both.any():
        cosine = float(np.nanquantile(noise.cosine, 1 - CERTAIN)) if np.isfinite(noise.cosine).any() else TURNED
        mix = float(np.nanquantile(noise.mix, CERTAIN)) if np.isfinite(noise.mix).any() else MIXED
    return (changes.cosine < min(cosine, 1 - STILL)) | (changes.mix > max(mix, STILL))


def _cosines(means: list[Cells], cells: Int) -> Double:
    """Compute the cosine between the two means of each of the cells, NaN where one is missing or zero."""
    rows = []
    for made in means:
        mean = np.full((len(cells), made.mean.shape[1]), np.nan)
        mean[np.searchsorted(cells, made.row.astype(np.int64) * made.grid + made.col)] = made.mean
        rows.append(mean)
    lengths = np.linalg.norm(rows[0], axis=1) * np.linalg.norm(rows[1], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines: Double = (rows[0] * rows[1]).sum(axis=1) / lengths
    return cosines


def _mix(where: Int, labels: Int, cells: Int) -> Int:
    """Count the labels in each of the cells, `n l`."""
    kinds = int(labels.max(initial=-1)) + 1
    place = np.full(int(max(where.max(initial=0), cells.max(initial=0))) + 1, -1)
    place[cells] = np.arange(len(cells))
    kept = (labels >= 0) & (place[where] >= 0)
    counts = np.bincount(place[where[kept]] * kinds + labels[kept], minlength=len(cells) * kinds)
    return counts.reshape(len(cells), kinds).astype(np.int64)


def arrows(a: Float, b: Float, *, grid: int, least: int = 1) -> tuple[Double, Double, Int]:
    """Thin the motion for a picture: per cell of the old layout that holds at least `least` samples, their mean old
    place and mean new place, `m 2` each, and how many they are.
    """
    cells, group, counts = np.unique(cell_of(a, grid), return_inverse=True, return_counts=True)
    places = []
    for points in (a, b):
        sums = np.zeros((len(cells), 2))
        np.add.at(sums, group, points.astype(np.float64))
        places.append((sums / counts[:, None])[counts >= least])
    return places[0], places[1], counts[counts >= least].astype(np.int64)
