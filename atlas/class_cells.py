"""Classes of cells: the mean attribution of each cell's samples to every class, and the classes that come first.

The article labels a cell by the mean of its samples' attribution vectors (Carter et al., Distill 2019). Samples pass by
once: of each only the strongest classes are kept, never the whole vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas import sampling
from atlas.arrays import CellClasses, Float, Int

TOP = 5
"""Classes kept of each cell and of each sample."""


def draw(offsets: Int, members: Int, per_cell: int | None) -> tuple[Int, Int]:
    """Return cell numbers and sample rows `m`, `m`, ascending by sample: all members, or of each cell `per_cell`.

    Those are the ones whose sample number hashes lowest.
    """
    cell = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    if per_cell is not None:
        order = np.lexsort((sampling.mix(members.astype(np.uint64)), cell))
        kept = order[np.arange(len(members)) - offsets[cell] < per_cell]
        cell, members = cell[kept], members[kept]
    order = np.argsort(members, kind="stable")
    return cell[order], members[order]


class ClassMeans:
    """Adds up the attributions of a grid's samples: memory for `cells × classes` and a few classes per sample.

    `cell`, `sample`: what `draw` gave.
    """

    def __init__(self, cells: int, cell: Int, sample: Int) -> None:
        self.cells, self.cell, self.sample = cells, cell, sample
        self.nonfinite = 0
        self._rows: list[Int] = []
        self._best: list[tuple[NDArray[np.int32], Float]] = []
        self._sum = np.zeros((cells, 0))
        self._firsts = np.zeros((cells, 0), np.int32)

    def add(self, sample: Int, attribution: NDArray[Any]) -> None:
        """Add samples with their attributions `b k`; those that are not this grid's are passed over.

        Those that are not finite are counted and left out.
        """
        if not self._sum.shape[1]:
            self._sum = np.zeros((self.cells, attribution.shape[1]))
            self._firsts = np.zeros(self._sum.shape, np.int32)
        row = np.searchsorted(self.sample, sample)
        ours = self.sample[np.minimum(row, len(self.sample) - 1)] == sample if len(self.sample) else row < 0
        finite = np.isfinite(attribution).all(axis=1)
        self.nonfinite += int((ours & ~finite).sum())
        row, values = row[ours & finite], attribution[ours & finite].astype(np.float32)
        best, value = strongest(values)
        np.add.at(self._sum, self.cell[row], values)
        np.add.at(self._firsts, (self.cell[row], best[:, 0]), 1)
        self._rows.append(row)
        self._best.append((best, value))

    def finish(self) -> CellClasses:
        """Return the means; a cell without a finite sample has NaN."""
        used = self._firsts.sum(axis=1, dtype=np.int64)
        with np.errstate(invalid="ignore"):
            mean = (self._sum / used[:, None]).astype(np.float32)
            share = self._firsts / used[:, None]
        classes = np.where(used[:, None] > 0, strongest(mean)[0], np.int32(-1))
        rows = np.concatenate([*self._rows, np.zeros(0, np.int64)])
        order = np.argsort(rows, kind="stable")
        kept = [np.concatenate([pair[i] for pair in self._best])[order] if self._best else None for i in (0, 1)]
        return CellClasses(
            mean=mean,
            used=used,
            classes=classes,
            share=np.take_along_axis(share, np.maximum(classes, 0).astype(np.int64), 1).astype(np.float32),
            sample=self.sample[rows[order]],
            sample_classes=kept[0] if kept[0] is not None else np.zeros((0, classes.shape[1]), np.int32),
            sample_values=kept[1] if kept[1] is not None else np.zeros((0, classes.shape[1]), np.float32),
        )


def strongest(values: Float, top: int = TOP) -> tuple[NDArray[np.int32], Float]:
    """Return the `top` classes of each row and their values, best first, equals in the order of the classes."""
    best = np.argsort(-values, axis=1, kind="stable")[:, :top]
    return best.astype(np.int32), np.take_along_axis(values, best, 1)
