"""What the atlas shows of its cells: columns for all of a grid, and everything of one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from flows.questions import classes
from flows.viewer.answers.about import labels
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.rounding import plain, rounded
from storage.artefacts import cells, pictures
from storage.errors import NotFound

TOP_CLASSES, TOP_LABELS, TOP_UNITS, NEAREST = 3, 3, 8, 6
LABELS_OF_ONE = 8
FLAT = 0.05
"""Contrast of a cell's patches under which they are flat: a plain colour or a soft gradient."""


def columns(version: OpenVersion, layer: str, grid: int) -> dict[str, Any]:
    """Return the cells of a grid as columns, in row-major order: what drawing needs and no more."""
    columns = {name: _cells(version, layer, grid, name).tolist() for name in ("row", "col", "count")}
    return {"layer": layer, "grid": grid} | columns


def details(version: OpenVersion, layer: str, grid: int) -> dict[str, Any]:
    """Return what hover, shading and names tell of each cell, in the order of `columns`."""
    run = version.run
    answer = {
        "layer": layer,
        "grid": grid,
        "coherence": rounded(_cells(version, layer, grid, "coherence")),
        "cosine": None,
        "rank": None,
        "weak": None,
        "classes": None,
        "names": {},
    }
    if run.has("icons", layer, grid):
        cosine, rank, weak = (version.array("icons", layer, grid, name) for name in ("cosine", "rank", "weak"))
        answer |= {"cosine": rounded(cosine), "rank": rank.tolist(), "weak": weak.astype(int).tolist()}
    if run.has("attribution", layer, grid):
        answer |= _first_classes(version, layer, grid)
    return answer


def _cells(version: OpenVersion, layer: str, grid: int, name: str) -> np.ndarray:
    return version.keep(("cells", layer, grid, name), lambda: cells.array(version.result("cells", layer, grid), name))


def _first_classes(version: OpenVersion, layer: str, grid: int) -> dict[str, Any]:
    """Return each cell's first classes as rows `[class, mean attribution, share]`, and the names of those that occur.

    `share` is the part of the cell's samples whose own first class it is.
    """
    first = version.array("attribution", layer, grid, "classes")[:, :TOP_CLASSES]
    mean = version.array("attribution", layer, grid, "mean")
    strength = np.take_along_axis(mean, np.maximum(first, 0).astype(np.int64), axis=1)
    share = version.array("attribution", layer, grid, "share")[:, :TOP_CLASSES]
    told = zip(rounded(strength.ravel(), 3), rounded(share.ravel(), 3), strict=True)
    rows = [[[c, *next(told)] for c in cs] for cs in first.tolist()]
    rows = [[row for row in of_cell if row[0] >= 0] for of_cell in rows]
    known = version.run.model["classes"]
    seen = sorted({int(c) for c in np.unique(first) if c >= 0})
    return {"classes": rows, "names": {str(c): str(known[c]) if c < len(known) else str(c) for c in seen}}


def cell_labels(version: OpenVersion, layer: str, grid: int) -> dict[str, Any]:
    """Return the labels that are most frequent in each cell, `[label, share]`, with the list of labels."""
    names, number = _numbered(version)
    facts = version.run.cell_facts(version.layer(layer), grid)
    images, offsets = facts.image_id, facts.offsets
    rows = []
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        found = np.bincount(number[images[start:stop]], minlength=1)
        best = np.argsort(-found, kind="stable")[:TOP_LABELS].tolist()
        rows.append([[i, round(int(found[i]) / max(stop - start, 1), 3)] for i in best if found[i]])
    return {"layer": layer, "grid": grid, "labels": names, "cells": rows}


def _numbered(version: OpenVersion) -> tuple[list[str], np.ndarray]:
    """Return the labels there are, sorted, and each image's place among them."""

    def make() -> tuple[list[str], np.ndarray]:
        names, number = np.unique(np.asarray(labels(version), dtype=object).astype(str), return_inverse=True)
        return [str(name) for name in names.tolist()], number.astype(np.int64)

    return version.keep(("numbered",), make)


def number_of(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> int:
    """Return a cell's number in its grid. Raises NotFound."""
    rows, cols = (_cells(version, layer, grid, name) for name in ("row", "col"))
    found = np.flatnonzero((rows == row) & (cols == col))
    if not len(found):
        raise NotFound(f"{layer} grid {grid} has no cell {row},{col}: too few samples fall there")
    return int(found[0])


def one(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> dict[str, Any]:
    """Return everything that is known of one cell."""
    number = number_of(version, layer, grid, row, col)
    mean = version.rows("cells", layer, grid, "mean", slice(number, number + 1))[0]
    order = np.argsort(-mean, kind="stable")[:TOP_UNITS]
    contrast = _contrast(version, layer, grid, row, col)
    return {
        "layer": layer,
        "grid": grid,
        "row": row,
        "col": col,
        "count": int(_cells(version, layer, grid, "count")[number]),
        "coherence": plain(_cells(version, layer, grid, "coherence")[number]),
        "icon": _proof(version, layer, grid, number),
        "units": [{"unit": int(unit), "mean": plain(mean[unit])} for unit in order],
        "labels": _labels_of(version, layer, grid, number),
        "classes": _classes_of(version, layer, grid, number),
        "nearest": _nearest(version, layer, grid, number),
        "members": _members(version, layer, grid, row, col),
        "contrast": None if contrast is None else plain(contrast, 3),
        "flat": None if contrast is None else contrast < FLAT,
    }


def _proof(version: OpenVersion, layer: str, grid: int, number: int) -> dict[str, Any] | None:
    if not version.run.has("icons", layer, grid):
        return None
    known = {name: version.array("icons", layer, grid, name)[number] for name in ("cosine", "rank", "tries", "weak")}
    return {
        "cosine": plain(known["cosine"]),
        "rank": int(known["rank"]),
        "tries": int(known["tries"]),
        "weak": bool(known["weak"]),
    }


def _labels_of(version: OpenVersion, layer: str, grid: int, number: int) -> list[dict[str, Any]]:
    names, label = _numbered(version)
    facts = version.run.cell_facts(layer, grid)
    images = facts.image_id[facts.offsets[number] : facts.offsets[number + 1]]
    counted = Counter(label[images].tolist())
    return [
        {"label": names[i], "samples": n, "share": round(n / max(len(images), 1), 4)}
        for i, n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:LABELS_OF_ONE]
        if names[i]
    ]


def _classes_of(version: OpenVersion, layer: str, grid: int, number: int) -> list[dict[str, Any]] | None:
    if not version.run.has("attribution", layer, grid):
        return None
    known = version.run.model["classes"]
    first, share, mean = (
        version.array("attribution", layer, grid, name)[number] for name in ("classes", "share", "mean")
    )
    return [
        {"class": c, "name": str(known[c]) if c < len(known) else str(c), "share": round(s, 4), "mean": plain(mean[c])}
        for c, s in zip(first.tolist(), share.tolist(), strict=True)
        if c >= 0
    ]


def _nearest(version: OpenVersion, layer: str, grid: int, number: int) -> list[dict[str, Any]]:
    """Return the cells whose means point most nearly the same way, wherever on the map they lie."""
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


def _members(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> list[dict[str, Any]]:
    if not version.run.has("members", layer, grid):
        return []
    table = version.members(layer, grid, row, col).select(["image_id", "y", "x"])
    names = labels(version)
    return [{**member, "label": names[member["image_id"]]} for member in table.to_pylist()]


def _contrast(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> float | None:
    """Return how far the pixels of a cell's drawn patches lie from their mean, 0 to 1: the median of the patches."""
    if not version.run.has("members", layer, grid):
        return None
    patches = [pictures.decode(data) for data in version.members(layer, grid, row, col)["picture"].to_pylist()]
    return float(np.median([patch.std(axis=(0, 1)).mean() / 255 for patch in patches])) if patches else None


def class_map(version: OpenVersion, layer: str, grid: int, of: str) -> dict[str, Any]:
    """Return what each cell of a grid says for a class, `mean`, in the order of `columns`, and the class's rank there."""
    mean = version.array("attribution", layer, grid, "mean")
    known = version.run.model["classes"] or [str(number) for number in range(mean.shape[1])]
    index = classes.class_index(of, known)
    column = mean[:, index]
    return {
        "layer": layer,
        "grid": grid,
        "class": index,
        "name": str(known[index]),
        "mean": rounded(column),
        "rank": (1 + (mean > column[:, None]).sum(axis=1)).tolist(),
    }


def class_names(version: OpenVersion) -> dict[str, Any]:
    """Return the names of the model's classes, in their order."""
    return {"names": [str(name) for name in version.run.model["classes"]]}
