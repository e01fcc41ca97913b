"""What the samples of a grid are called, and how many samples of each cell have one label."""

from __future__ import annotations

from typing_extensions import TypedDict

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
    label = str(version.run.labels[0][number])
    standing = of_grid(version, layer, grid)["labels"]
    out = [{standing["names"][i] for i, *_ in rows} for rows in standing["cells"]] if standing else []
    cells = [(cell, n, bool(out) and label in out[cell]) for cell, n in enumerate(samples.tolist()) if n]
    return {"layer": layer, "grid": grid, "number": number, "label": label, "cells": cells}
