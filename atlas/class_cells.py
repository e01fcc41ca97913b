"""Compute the mean attribution of each cell's samples to every class, and the strongest classes of each cell.

The article labels a cell by the mean of its samples' attribution vectors (Carter et al., Distill 2019). Samples are
processed once: for each only its strongest classes are stored, never the whole vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas import sampling
from atlas.arrays import CellClasses, Float, Int

TOP = 5
"""Classes stored per cell and per sample."""


def choose_samples(offsets: Int, members: Int, per_cell: int | None) -> tuple[Int, Int]:
    """Return cell numbers and sample rows `m`, `m`, ascending by sample: all members, or `per_cell` of each cell.

    The members chosen are those whose sample number has the lowest hash.
    """
    cell = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    if per_cell is not None:
        order = np.lexsort((sampling.mix(members.astype(np.uint64)), cell))
        chosen = order[np.arange(len(members)) - offsets[cell] < per_cell]
        cell, members = cell[chosen], members[chosen]
    order = np.argsort(members, kind="stable")
    return cell[order], members[order]


class ClassMeans:
    """Sums the attributions of a grid's samples, in memory for `cells × classes` and a few classes per sample.

    `cell`, `sample`: the result of `choose_samples`.
    """

    def __init__(self, cells: int, cell: Int, sample: Int) -> None:
        self.cells, self.cell, self.sample = cells, cell, sample
        self.nonfinite = 0
        self._rows: list[Int] = []
        self._best: list[tuple[NDArray[np.int32], Float]] = []
        self._sum = np.zeros((cells, 0))
        self._firsts = np.zeros((cells, 0), np.int32)

    def add(self, sample: Int, attribution: NDArray[Any]) -> None:
        """Add samples with their attributions `b k`; samples of other grids are skipped.

        Samples that are not finite are counted and left out.
        """
        if not self._sum.shape[1]:
            self._sum = np.zeros((self.cells, attribution.shape[1]))
            self._firsts = np.zeros(self._sum.shape, np.int32)
        row = np.searchsorted(self.sample, sample)
        in_grid = self.sample[np.minimum(row, len(self.sample) - 1)] == sample if len(self.sample) else row < 0
        finite = np.isfinite(attribution).all(axis=1)
        self.nonfinite += int((in_grid & ~finite).sum())
        row, values = row[in_grid & finite], attribution[in_grid & finite].astype(np.float32)
        best, value = top_classes(values)
        np.add.at(self._sum, self.cell[row], values)
        np.add.at(self._firsts, (self.cell[row], best[:, 0]), 1)
        self._rows.append(row)
        self._best.append((best, value))

    def finish(self) -> CellClasses:
        """Return the means; NaN for a cell without a finite sample."""
        used = self._firsts.sum(axis=1, dtype=np.int64)
        with np.errstate(invalid="ignore"):
            mean = (self._sum / used[:, None]).astype(np.float32)
            share = self._firsts / used[:, None]
        classes = np.where(used[:, None] > 0, top_classes(mean)[0], np.int32(-1))
        rows = np.concatenate([*self._rows, np.zeros(0, np.int64)])
        order = np.argsort(rows, kind="stable")
        strongest_classes = [
            np.concatenate([pair[i] for pair in self._best])[order] if self._best else None for i in (0, 1)
        ]
        return CellClasses(
            mean=mean,
            used=used,
            classes=classes,
            share=np.take_along_axis(share, np.maximum(classes, 0).astype(np.int64), 1).astype(np.float32),
            sample=self.sample[rows[order]],
            sample_classes=strongest_classes[0]
            if strongest_classes[0] is not None
            else np.zeros((0, classes.shape[1]), np.int32),
            sample_values=strongest_classes[1]
            if strongest_classes[1] is not None
            else np.zeros((0, classes.shape[1]), np.float32),
        )


def top_classes(values: Float, top: int = TOP) -> tuple[NDArray[np.int32], Float]:
    """Return the `top` classes of each row and their values, best first, ties in class order."""
    best = np.argsort(-values, axis=1, kind="stable")[:, :top]
    return best.astype(np.int32), np.take_along_axis(values, best, 1)
