"""The labels and classes that stand out in each cell of a grid: what the map prints on them."""

from __future__ import annotations

from typing_extensions import TypedDict

from atlas import enrichment
from flows.questions import names
from flows.questions.names import Standing
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.rounding import Number, plain

Mark = tuple[int, int, float]


class Standings(TypedDict):
    """The names that stand out in each cell as [index into `names`, samples, share], the largest lift first.

    `bound` is the lift that the largest of a grid reaches by chance.
    """

    bound: Number
    names: list[str]
    cells: list[list[Mark]]


class CellNames(TypedDict):
    """The labels and classes that stand out in each cell, in the order of the cells; null where there are none to go by.

    A name stands out if at least `least` samples have it and its lift is beyond that of `permutations`.
    """

    layer: str
    grid: int
    least: int
    permutations: int
    labels: Standings | None
    classes: Standings | None


def of_grid(version: OpenVersion, layer: str, grid: int) -> CellNames:
    """Return the labels and classes that stand out in each cell of a grid."""
    run = version.run

    def compute() -> CellNames:
        labels, classes = (_columns(names.of_cells(run, version.layer(layer), grid, kind)) for kind in names.KINDS)
        return {
            "layer": layer,
            "grid": grid,
            "least": enrichment.LEAST,
            "permutations": enrichment.TIMES,
            "labels": labels,
            "classes": classes,
        }

    return version.keep(("standing", layer, grid), compute)


def _columns(standing: Standing | None) -> Standings | None:
    if standing is None:
        return None
    texts = sorted({row["name"] for rows in standing.of_group for row in rows})
    index = {text: i for i, text in enumerate(texts)}
    cells = [[(index[row["name"]], row["count"], round(row["share"], 3)) for row in rows] for rows in standing.of_group]
    return {"bound": plain(standing.bound), "names": texts, "cells": cells}
