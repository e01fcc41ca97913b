"""Answer which classes a cell speaks for, and which cells speak for a class."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from typing_extensions import TypedDict

from storage.artefacts.cells import CellFacts
from storage.errors import NotFound, UsageError
from storage.run import Run

ClassInCell = TypedDict("ClassInCell", {"class": int, "name": str, "mean": float, "share": float})
"""A class, its mean attribution, and the share of the cell's samples whose strongest class it is."""


class CellOfClass(TypedDict):
    """A cell, with its number of samples and how strongly it speaks for a class, as `class_map` measures it."""

    row: int
    col: int
    count: int
    mean: float
    relative: float
    rank: int


ClassMap = TypedDict(
    "ClassMap",
    {
        "run": str,
        "version": int,
        "layer": str,
        "grid": int,
        "class": int,
        "name": str,
        "cells": list[CellOfClass],
    },
)
"""How strongly each cell of a grid speaks for a class."""


def class_name(run: Run, index: int) -> str:
    """Return the name of a class, or its number where the model has no names."""
    names = run.model["classes"]
    return str(names[index]) if index < len(names) else str(index)


def cell_classes(run: Run, cells: CellFacts, number: int) -> list[ClassInCell]:
    """Return the classes that a cell speaks for, strongest first; none where the run has no attribution."""
    columns = (cells.classes[number], cells.class_mean[number], cells.class_share[number])
    return [
        {"class": index, "name": class_name(run, index), "mean": float(mean), "share": round(float(share), 4)}
        for index, mean, share in zip(*(column.tolist() for column in columns), strict=True)
        if index >= 0
    ]


def class_map(run: Run, layer: str, grid: int, wanted: str) -> ClassMap:
    """Return how strongly each cell of a grid speaks for one class, given by name or index.

    `mean` is the mean attribution, `rank` (from 1) the rank of the class in the cell, `relative` the mean divided by
    the largest mean of the grid.
    """
    cells = run.cells(layer, grid)
    index, mean, rank = class_column(run, run.attribution(layer, grid).mean, wanted)
    largest = float(np.nanmax(mean, initial=0.0))
    columns = (cells.row, cells.col, cells.count, mean, rank)
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "grid": grid,
        "class": index,
        "name": class_name(run, index),
        "cells": [
            {
                "row": row,
                "col": col,
                "count": count,
                "mean": value,
                "relative": value / largest if largest > 0 else 0.0,
                "rank": place,
            }
            for row, col, count, value, place in zip(*(column.tolist() for column in columns), strict=True)
            if np.isfinite(value)
        ],
    }


def class_column(run: Run, mean: np.ndarray, wanted: str) -> tuple[int, np.ndarray, np.ndarray]:
    """Return a class's number, its mean attribution in each cell, and its rank there, of the means `cells classes`."""
    names = run.model["classes"] or [str(number) for number in range(mean.shape[1])]
    index = class_index(wanted, names)
    column = mean[:, index]
    return index, column, 1 + (mean > column[:, None]).sum(axis=1)


def class_index(text: str, classes: Sequence[str]) -> int:
    """Return the index of a class given by index or name, ignoring case, with or without `class:` before it."""
    text = text.removeprefix("class:")
    if text.isdecimal() and (not classes or int(text) < len(classes)):
        return int(text)
    matches = [i for i, name in enumerate(classes) if name.casefold() == text.strip().casefold()]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(
            f"{len(matches)} classes are called {text!r}; write one of class:{', class:'.join(map(str, matches))}"
        )
    if text.isdecimal():
        raise NotFound(f"the model has no class {text}; its classes are 0 to {len(classes) - 1}")
    if not classes:
        raise UsageError(
            f"the model has no class names, so {text!r} can't be found; give an index, or names by --classes FILE to the "
            "command that names the model: for a run's, to `actlas run`"
        )
    near = difflib.get_close_matches(text, classes, 3, cutoff=0.0)
    raise NotFound(f"the model has no class {text!r}; nearest: {', '.join(near)}")
