"""What the samples of a grid are called, and how many samples of each cell have one label."""

from __future__ import annotations

import numpy as np
from typing_extensions import TypedDict

from atlas.arrays import Int
from flows.questions import names
from flows.viewer.answers.names import of_grid
from flows.viewer.answers.open_runs import OpenVersion

Called = tuple[int, str, int]
"""The number of a label or class, its name, and the samples that have it."""


class Tally(TypedDict):
    """The labels of a grid's samples, and the strongest classes of those with attribution, the most frequent first."""

    layer: str
    grid: int
    labels: list[Called]
    classes: list[Called]


class LabelMap(TypedDict):
    """The cells of a grid in which a label occurs as [cell, samples that have it, whether it stands out there]."""

    layer: str
    grid: int
    number: int
    label: str
    cells: list[tuple[int, int, bool]]


def tally(version: OpenVersion, layer: str, grid: int) -> Tally:
    """Return how many samples of a grid have each label and each strongest class, the most frequent first."""
    labels, classes = (names.tally(version.run, version.layer(layer), grid, kind) for kind in names.KINDS)
    return {"layer": layer, "grid": grid, "labels": labels, "classes": classes}


def one(version: OpenVersion, layer: str, grid: int, number: int) -> LabelMap:
    """Return how many samples of each cell of a grid have a label, and where it stands out."""
    samples = names.labelled_samples(version.run, version.layer(layer), grid, number)
    head = _map(version, layer, grid, number)
    there, out = np.flatnonzero(samples), _standing_out(version, layer, grid)
    return {**head, "cells": _cells(head["label"], there, samples[there], out)}


def every(version: OpenVersion, layer: str, grid: int) -> list[LabelMap]:
    """Return the maps of all labels that samples of a grid have: one count for all of them."""
    number, cell, samples = names.labels_in_cells(version.run, version.layer(layer), grid)
    labels, first = np.unique(number, return_index=True)
    out, maps = _standing_out(version, layer, grid), [_map(version, layer, grid, label) for label in labels.tolist()]
    parts = zip(maps, np.split(cell, first[1:]), np.split(samples, first[1:]), strict=True) if maps else ()
    return [{**head, "cells": _cells(head["label"], there, n, out)} for head, there, n in parts]


def counted(version: OpenVersion, layer: str, grid: int) -> tuple[list[LabelMap], int]:
    """Return the same maps without their cells, and the bytes of these in JSON, each counted as not standing out."""
    number, cell, samples = names.labels_in_cells(version.run, version.layer(layer), grid)
    labels = np.unique(number).tolist()
    size = len(cell) * len("[,,false],") + int((_digits(cell) + _digits(samples)).sum()) - len(labels)
    return [_map(version, layer, grid, label) for label in labels], size


def _map(version: OpenVersion, layer: str, grid: int, number: int) -> LabelMap:
    return {"layer": layer, "grid": grid, "number": number, "label": str(version.run.labels[0][number]), "cells": []}


def _standing_out(version: OpenVersion, layer: str, grid: int) -> set[tuple[str, int]]:
    """Return the pairs of a label and a cell in which it stands out."""
    standing = of_grid(version, layer, grid)["labels"]
    if standing is None:
        return set()
    return {(standing["names"][mark], cell) for cell, marks in enumerate(standing["cells"]) for mark, *_ in marks}


def _cells(label: str, cell: Int, samples: Int, out: set[tuple[str, int]]) -> list[tuple[int, int, bool]]:
    return [(number, n, (label, number) in out) for number, n in zip(cell.tolist(), samples.tolist(), strict=True)]


def _digits(numbers: Int) -> Int:
    """Return the length of each number as text."""
    return np.searchsorted(10 ** np.arange(1, 19), numbers, side="right") + 1
