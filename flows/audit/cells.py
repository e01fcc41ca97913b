"""Read from a run's tables which cells speak for a class, and how many samples of each image lie in them. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float
from flows.questions import classes, names
from storage.errors import Incomplete, NotFound
from storage.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCells:
    """Cells that speak for a class: their places, mean attribution, and `samples`, images of the class by cells.

    `others` is the same of images without the class.
    """

    grid: int
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    attribution: Float
    samples: Float
    others: Float


def grid_of(run: Run, layer: str, grid: int | None) -> int | None:
    """Return the grid to audit: the one given, or the finest with an attribution; None where there is none.

    Raises NotFound or Incomplete for one that is given and has none.
    """
    if grid is not None:
        run.result("attribution", layer, grid)
        return grid
    return max((size for size in run.grids if run.has("attribution", layer, size)), default=None)


def check_any(run: Run, layer: str, grid: int | None) -> None:
    """Raise Incomplete where there are no cells with an attribution, though nothing else is to be audited."""
    if layer not in run.layers:
        raise NotFound(f"{run.name} has no layer {layer!r}; it has {', '.join(run.layers)}")
    if grid is None:
        raise Incomplete(
            f"{run.name}@{run.number} has no attribution of {layer}: run it again with --with attribution, or audit its "
            "units, too"
        )


def of_class(run: Run, layer: str, grid: int, wanted: str, own: list[int], others: list[int]) -> ClassCells:
    """Return the cells whose mean attribution to a class is above 0, and which images of it fall into."""
    cells = run.cell_facts(layer, grid)
    _, mean, _ = classes.class_column(run, run.attribution(layer, grid).mean, wanted)
    chosen = np.flatnonzero(np.nan_to_num(mean) > 0)
    counts = [_counts(names.cells_of(cells), cells.image_id, ids, len(mean))[:, chosen] for ids in (own, others)]
    return ClassCells(
        grid=grid,
        row=cells.row[chosen],
        col=cells.col[chosen],
        attribution=mean[chosen],
        samples=counts[0],
        others=counts[1],
    )


def _counts(cell: NDArray[np.int64], image_id: NDArray[np.int64], ids: list[int], cells: int) -> Float:
    """Count the samples of each image in each cell, `images cells`."""
    order = np.argsort(np.asarray(ids, np.int64))
    known = np.asarray(ids, np.int64)[order]
    counts = np.zeros((len(ids), cells), np.float32)
    if len(known):
        place = np.minimum(np.searchsorted(known, image_id), len(known) - 1)
        there = known[place] == image_id
        np.add.at(counts, (order[place[there]], cell[there]), 1)
    return counts
