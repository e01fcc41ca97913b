"""Describe one cell of an atlas."""

from __future__ import annotations

from collections import Counter

import numpy as np
from typing_extensions import TypedDict

from flows.questions import classes, names
from flows.questions.names import NameShare
from flows.questions.patches import finite
from storage.artefacts.cells import CellFacts
from storage.errors import NotFound
from storage.run import Run

TOP_UNITS = 8


class IconFidelity(TypedDict):
    """How well a cell's icon fits it: `cosine` is its fidelity, `rank` the cell's among all by how well it fits each."""

    cosine: float | None
    rank: int
    tries: int
    weak: bool


class UnitMean(TypedDict):
    """A unit and its mean in the cell."""

    unit: int
    mean: float


class LabelCount(TypedDict):
    """A label, and how many images with samples in the cell have it."""

    label: str | None
    images: int


class Member(TypedDict):
    """A sample of the cell, chosen by a hash, with its boxes in the source image."""

    row: int
    col: int
    sample: int
    image_id: int
    y: int
    x: int
    reach_left: int
    reach_top: int
    reach_right: int
    reach_bottom: int
    focus_left: int
    focus_top: int
    focus_right: int
    focus_bottom: int


class CellNames(TypedDict):
    """The labels and classes that stand out in the cell; None where the run has none to go by."""

    labels: list[NameShare] | None
    classes: list[NameShare] | None


class Cell(TypedDict):
    """One cell; its neighbours are [row, col]."""

    run: str
    version: int
    layer: str
    grid: int
    row: int
    col: int
    count: int
    coherence: float
    icon: IconFidelity
    classes: list[classes.ClassInCell]
    units: list[UnitMean]
    labels: list[LabelCount]
    names: CellNames
    members: list[Member]
    neighbours: list[list[int]]


def cell(run: Run, layer: str, grid: int, row: int, col: int) -> Cell:
    """Return the facts of a cell: counts, fidelity of its icon, units, labels, sampled members, neighbours."""
    cells = run.cell_facts(layer, grid)
    number = find_cell(cells.row, cells.col, row, col)
    if max(row, col) >= grid:
        raise NotFound(f"{row},{col} is outside {layer}'s grid {grid}: its rows and columns are 0 to {grid - 1}")
    if number is None:
        raise NotFound(
            f"{layer} grid {grid} has no cell {row},{col}: too few samples fall there; {_nearest(cells, row, col)}"
        )
    mean = cells.mean[number]
    order = np.argsort(-mean, kind="stable")[:TOP_UNITS]
    members = run.member_facts(layer, grid, row, col) if run.has("members", layer, grid) else None
    labels, standing = _labels(run, cells, number), names.of_one_cell(run, layer, grid, number)
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "grid": grid,
        "row": row,
        "col": col,
        "count": int(cells.count[number]),
        "coherence": round(float(cells.coherence[number]), 4),
        "icon": {
            "cosine": finite(cells.cosine[number]),
            "rank": int(cells.rank[number]),
            "tries": int(cells.tries[number]),
            "weak": bool(cells.weak[number]),
        },
        "classes": classes.cell_classes(run, cells, number),
        "units": [{"unit": int(u), "mean": round(float(mean[u]), 4)} for u in order],
        "labels": [{"label": label, "images": n} for label, n in labels.most_common(TOP_UNITS)],
        "names": {"labels": standing["labels"], "classes": standing["classes"]},
        "members": members.to_pylist() if members is not None else [],
        "neighbours": _adjacent(cells, row, col),
    }


def _labels(run: Run, cells: CellFacts, number: int) -> Counter[str | None]:
    """Count the labels of the images that a cell's members come from."""
    images = np.unique(cells.image_id[cells.offsets[number] : cells.offsets[number + 1]])
    stored, label_of = run.labels
    return Counter(stored[i] for i in label_of[images].tolist())


def find_cell(rows: np.ndarray, cols: np.ndarray, row: int, col: int) -> int | None:
    """Return the number of the cell at a row and column; None where there is none."""
    matches = np.flatnonzero((rows == row) & (cols == col))
    return int(matches[0]) if len(matches) else None


def _nearest(cells: CellFacts, row: int, col: int) -> str:
    if not len(cells.row):
        return "no cell of this grid has enough"
    best = int(np.argmin((cells.row - row) ** 2 + (cells.col - col) ** 2))
    return f"the nearest is {cells.row[best]},{cells.col[best]}"


def _adjacent(cells: CellFacts, row: int, col: int) -> list[list[int]]:
    near = (np.abs(cells.row - row) <= 1) & (np.abs(cells.col - col) <= 1)
    pairs = np.stack([cells.row[near], cells.col[near]], axis=1).tolist()
    return [pair for pair in pairs if pair != [row, col]]
