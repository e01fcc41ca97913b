"""The cells of a grid: columns for drawing, details for hover and lists, and everything about one cell."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import numpy as np
from typing_extensions import TypedDict

from flows.metrics import contrast, metrics
from flows.metrics import values as metric_values
from flows.questions import classes
from flows.questions.cells import IconFidelity
from flows.viewer.answers.about import labels
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.rounding import Number, plain, rounded
from storage.artefacts import cells
from storage.errors import NotFound

TOP_CLASSES, TOP_LABELS, TOP_UNITS, NEAREST = 3, 3, 8, 6
LABELS_OF_ONE = 8
ClassOfCell = tuple[int, float, float]
"""A class, its mean attribution, and the share of the cell's samples whose strongest class it is."""


class CellColumns(TypedDict):
    """The cells of a grid as columns, in row-major order."""

    layer: str
    grid: int
    row: list[int]
    col: list[int]
    count: list[int]


class CellDetails(TypedDict):
    """A column for each metric of cells that is in the details, and each cell's strongest classes.

    A class is [class, mean attribution, share of samples whose strongest class it is]; `names` has the classes' names.
    """

    layer: str
    grid: int
    classes: list[list[ClassOfCell]] | None
    names: dict[str, str]


class CellLabels(TypedDict):
    """The most frequent labels of each cell as [index into `labels`, share]."""

    layer: str
    grid: int
    labels: list[str]
    cells: list[list[tuple[int, float]]]


class UnitMean(TypedDict):
    """A unit and its mean in the cell."""

    unit: int
    mean: Number


class LabelShare(TypedDict):
    """A label, and how many of the cell's samples have it."""

    label: str
    samples: int
    share: float


ClassShare = TypedDict("ClassShare", {"class": int, "name": str, "share": float, "mean": Number})
"""A class, its mean attribution, and the share of the cell's samples whose strongest class it is."""


class NearCell(TypedDict):
    """Another cell, and the cosine of the two cells' means."""

    row: int
    col: int
    cosine: Number


class Member(TypedDict):
    """A sample of the cell, drawn at random."""

    image_id: int
    y: int
    x: int
    label: str


class Cell(TypedDict):
    """One cell: metrics, units, labels, classes, the cells most like it, and members."""

    layer: str
    grid: int
    row: int
    col: int
    count: int
    coherence: Number
    icon: IconFidelity | None
    units: list[UnitMean]
    labels: list[LabelShare]
    classes: list[ClassShare] | None
    nearest: list[NearCell]
    members: list[Member]
    contrast: Number
    flat: bool | None


def columns(version: OpenVersion, layer: str, grid: int) -> CellColumns:
    """Return the columns that drawing a grid needs, in row-major order."""
    row, col, count = (_cells(version, layer, grid, name).tolist() for name in ("row", "col", "count"))
    return {"layer": layer, "grid": grid, "row": row, "col": col, "count": count}


def details(version: OpenVersion, layer: str, grid: int) -> CellDetails:
    """Return the metrics and strongest classes of each cell, in the order of `columns`."""
    version.result("cells", layer, grid)
    answer: dict[str, Any] = {"layer": layer, "grid": grid, "classes": None, "names": {}}
    for metric in metrics.columns(metrics.CELL, "details"):
        answer[metric.key] = _metric(version, layer, grid, metric)
    if version.run.has("attribution", layer, grid):
        answer["classes"], answer["names"] = _strongest_classes(version, layer, grid)
    return cast(CellDetails, answer)


def _metric(version: OpenVersion, layer: str, grid: int, metric: metrics.Metric) -> list[Any] | None:
    key = ("metric", layer, grid, metric.name)
    values = version.keep(key, lambda: metric_values.of_cells(version.run, layer, grid, metric))
    if values is None:
        return None
    return rounded(values, metric.digits) if metric.kind == "number" else values.astype(np.int64).tolist()


def _cells(version: OpenVersion, layer: str, grid: int, name: str) -> np.ndarray:
    return version.keep(("cells", layer, grid, name), lambda: cells.array(version.result("cells", layer, grid), name))


def _strongest_classes(version: OpenVersion, layer: str, grid: int) -> tuple[list[list[ClassOfCell]], dict[str, str]]:
    """Return each cell's strongest classes, and the names of those classes by their numbers."""
    first = version.array("attribution", layer, grid, "classes")[:, :TOP_CLASSES]
    mean = version.array("attribution", layer, grid, "mean")
    strength = np.take_along_axis(mean, np.maximum(first, 0).astype(np.int64), axis=1)
    share = version.array("attribution", layer, grid, "share")[:, :TOP_CLASSES]
    pairs = zip(rounded(strength.ravel(), 3), rounded(share.ravel(), 3), strict=True)
    rows: list[list[Any]] = [[(c, *next(pairs)) for c in of_cell] for of_cell in first.tolist()]
    rows = [[row for row in of_cell if row[0] >= 0] for of_cell in rows]
    occurring = sorted({int(c) for c in np.unique(first) if c >= 0})
    return rows, {str(c): classes.class_name(version.run, c) for c in occurring}


def cell_labels(version: OpenVersion, layer: str, grid: int) -> CellLabels:
    """Return the most frequent labels of each cell, with the list of all labels."""
    names, label_of = _label_indices(version)
    facts = version.run.cell_facts(version.layer(layer), grid)
    images, offsets = facts.image_id, facts.offsets
    rows: list[list[tuple[int, float]]] = []
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        counts = np.bincount(label_of[images[start:stop]], minlength=1)
        best = np.argsort(-counts, kind="stable")[:TOP_LABELS].tolist()
        rows.append([(i, round(int(counts[i]) / max(stop - start, 1), 3)) for i in best if counts[i]])
    return {"layer": layer, "grid": grid, "labels": names, "cells": rows}


def _label_indices(version: OpenVersion) -> tuple[list[str], np.ndarray]:
    """Return the labels, sorted, and each image's index among them."""

    def read() -> tuple[list[str], np.ndarray]:
        names, index = np.unique(np.asarray(labels(version), dtype=object).astype(str), return_inverse=True)
        return [str(name) for name in names.tolist()], index.astype(np.int64)

    return version.keep(("label_indices",), read)


def number_of(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> int:
    """Return a cell's number in its grid. Raises NotFound."""
    rows, cols = (_cells(version, layer, grid, name) for name in ("row", "col"))
    numbers = np.flatnonzero((rows == row) & (cols == col))
    if not len(numbers):
        raise NotFound(f"{layer} grid {grid} has no cell {row},{col}: too few samples fall there")
    return int(numbers[0])


def one(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> Cell:
    """Return everything that is known of one cell."""
    number = number_of(version, layer, grid, row, col)
    mean = version.rows("cells", layer, grid, "mean", slice(number, number + 1))[0]
    order = np.argsort(-mean, kind="stable")[:TOP_UNITS]
    value = _contrast(version, layer, grid, row, col)
    return {
        "layer": layer,
        "grid": grid,
        "row": row,
        "col": col,
        "count": int(_cells(version, layer, grid, "count")[number]),
        "coherence": plain(_cells(version, layer, grid, "coherence")[number]),
        "icon": _fidelity(version, layer, grid, number),
        "units": [{"unit": int(unit), "mean": plain(mean[unit])} for unit in order],
        "labels": _labels(version, layer, grid, number),
        "classes": _classes(version, layer, grid, number),
        "nearest": _nearest(version, layer, grid, number),
        "members": _members(version, layer, grid, row, col),
        "contrast": None if value is None else plain(value, 3),
        "flat": None if value is None else value < contrast.FLAT,
    }


def _fidelity(version: OpenVersion, layer: str, grid: int, number: int) -> IconFidelity | None:
    if not version.run.has("icons", layer, grid):
        return None
    cosine, rank, tries, weak = (
        version.array("icons", layer, grid, name)[number] for name in ("cosine", "rank", "tries", "weak")
    )
    return {"cosine": plain(cosine), "rank": int(rank), "tries": int(tries), "weak": bool(weak)}


def _labels(version: OpenVersion, layer: str, grid: int, number: int) -> list[LabelShare]:
    names, label_of = _label_indices(version)
    facts = version.run.cell_facts(layer, grid)
    images = facts.image_id[facts.offsets[number] : facts.offsets[number + 1]]
    counts = Counter(label_of[images].tolist())
    return [
        {"label": names[i], "samples": n, "share": round(n / max(len(images), 1), 4)}
        for i, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:LABELS_OF_ONE]
        if names[i]
    ]


def _classes(version: OpenVersion, layer: str, grid: int, number: int) -> list[ClassShare] | None:
    if not version.run.has("attribution", layer, grid):
        return None
    first, share, mean = (
        version.array("attribution", layer, grid, name)[number] for name in ("classes", "share", "mean")
    )
    return [
        {"class": c, "name": classes.class_name(version.run, c), "share": round(s, 4), "mean": plain(mean[c])}
        for c, s in zip(first.tolist(), share.tolist(), strict=True)
        if c >= 0
    ]


def _nearest(version: OpenVersion, layer: str, grid: int, number: int) -> list[NearCell]:
    """Return the cells whose means are most like this one's by cosine, wherever on the map they lie."""
    mean = version.array("cells", layer, grid, "mean")
    length = np.linalg.norm(mean, axis=1)
    likeness = (mean @ mean[number]) / np.maximum(length * length[number], 1e-30)
    likeness[number] = -np.inf
    best = np.argsort(-likeness, kind="stable")[:NEAREST]
    rows, cols = (_cells(version, layer, grid, name) for name in ("row", "col"))
    return [
        {"row": int(rows[i]), "col": int(cols[i]), "cosine": plain(likeness[i])}
        for i in best.tolist()
        if np.isfinite(likeness[i])
    ]


def _members(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> list[Member]:
    if not version.run.has("members", layer, grid):
        return []
    table = version.members(layer, grid, row, col).select(["image_id", "y", "x"])
    names = labels(version)
    return [
        {"image_id": member["image_id"], "y": member["y"], "x": member["x"], "label": names[member["image_id"]]}
        for member in table.to_pylist()
    ]


def _contrast(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> float | None:
    if not version.run.has("members", layer, grid):
        return None
    return contrast.of_patches(version.members(layer, grid, row, col)["picture"].to_pylist())
