"""What the cells of a grid say for one class, and the names of all classes."""

from __future__ import annotations

from typing_extensions import TypedDict

from flows.questions import classes
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.rounding import Number, rounded

ClassMap = TypedDict(
    "ClassMap", {"layer": str, "grid": int, "class": int, "name": str, "mean": list[Number], "rank": list[int]}
)
"""A class's mean attribution in each cell of a grid, in row-major order, and its rank there."""


class Classes(TypedDict):
    """The names of the model's classes, in their order."""

    names: list[str]


def one(version: OpenVersion, layer: str, grid: int, of: str) -> ClassMap:
    """Return a class's mean attribution and rank in each cell of a grid, in the order of the cells' columns."""
    index, mean, rank = classes.class_column(version.run, version.array("attribution", layer, grid, "mean"), of)
    return {
        "layer": layer,
        "grid": grid,
        "class": index,
        "name": classes.class_name(version.run, index),
        "mean": rounded(mean),
        "rank": rank.tolist(),
    }


def names(version: OpenVersion) -> Classes:
    """Return the names of the model's classes, in their order."""
    return {"names": [str(name) for name in version.run.model["classes"]]}
