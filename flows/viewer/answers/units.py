"""The units of a layer: columns for lists, and everything about one unit but what takes longer (`cards`)."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from typing_extensions import TypedDict

from atlas import unit_facts
from flows.metrics import metrics
from flows.metrics import values as metric_values
from flows.questions import classes, near_duplicates
from flows.questions import patches as patch_answers
from flows.questions.patches import PixelBox
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.rounding import Number, plain, rounded
from storage.errors import NotFound

STRONG_CELLS = 12


class UnitColumns(TypedDict):
    """A column for each metric of units; `top` has each unit's labels that stand out as [index, patches]."""

    layer: str
    units: int
    labels: list[str]
    top: list[list[tuple[int, int]]]


class Patch(TypedDict):
    """One of a unit's strongest patches; `same_as` is the rank of a stronger one whose picture is nearly the same."""

    rank: int
    same_as: int | None
    value: Number
    image_id: int
    label: str | None
    y: int
    x: int
    focus: PixelBox | None


class Side(TypedDict):
    """The strongest patches of one sign; `pictures` of them have a picture, at an address of its own."""

    note: str | None
    extreme: Number
    images_at_extreme: int
    patches: list[Patch]
    pictures: int


class StrongCell(TypedDict):
    """A cell, and the unit's mean in it."""

    row: int
    col: int
    mean: Number


class StrongCells(TypedDict):
    """The cells of a grid where the unit's mean is largest."""

    grid: int
    strongest: list[StrongCell]


class GalleryFacts(TypedDict):
    """The unit's value for its picture in the gallery, beside its strongest patch."""

    value: Number
    best: Number
    patch: Number
    dead: bool


class StoredGradients(TypedDict):
    """The method, and the ranks of the patches whose gradient is stored."""

    method: str
    ranks: list[int]


class Unit(TypedDict):
    """One unit: its strongest patches, its cells, its picture."""

    layer: str
    unit: int
    units: int
    positive: Side
    negative: Side
    cells: StrongCells | None
    gallery: GalleryFacts | None
    gradients: StoredGradients | None


class UnitMap(TypedDict):
    """A unit's mean in each cell of a grid."""

    layer: str
    grid: int
    unit: int
    mean: list[Number]


class Likeness(TypedDict):
    """The correlation of each unit of a layer with one of them, over the cells of the finest grid."""

    layer: str
    unit: int
    correlation: list[Number]


Speaks = TypedDict(
    "Speaks",
    {
        "layer": str,
        "class": int,
        "name": str,
        "cells": int,
        "bound": Number,
        "permuted": Number,
        "correlation": list[Number],
    },
)
"""The correlation of each unit of a layer with a class's attribution, over the cells of the finest grid.

`bound` is what any unit reaches in 95 % of cases by chance, where the map is shifted and mirrored; `permuted` the same
where its cells are permuted. Null where there are too few cells to tell.
"""


def columns(version: OpenVersion, layer: str) -> UnitColumns:
    """Return the metrics and labels of the units of a layer as columns."""
    counts = version.result("patches", layer).counts
    names, top = _top_labels(version, layer)
    answer: dict[str, Any] = {"layer": layer, "units": counts["units"], "labels": names, "top": top}
    for metric in metrics.columns(metrics.UNIT, "units"):
        answer[metric.key] = _metric(version, layer, metric)
    return cast(UnitColumns, answer)


def _metric(version: OpenVersion, layer: str, metric: metrics.Metric) -> list[Any] | None:
    values = metric_values.of_units(version.run, layer, metric)
    if values is None:
        return None
    return rounded(values, metric.digits) if metric.kind == "number" else values.astype(np.int64).tolist()


def _top_labels(version: OpenVersion, layer: str) -> tuple[list[str], list[list[tuple[int, int]]]]:
    """Return the labels that stand out, and each unit's among its strongest patches as (index, patches)."""
    rows = version.shared(version.layer(layer)).names.of_group
    names = sorted({row["name"] for of_unit in rows for row in of_unit})
    index = {name: i for i, name in enumerate(names)}
    return names, [[(index[row["name"]], row["count"]) for row in of_unit] for of_unit in rows]


def one(version: OpenVersion, layer: str, unit: int) -> Unit:
    """Return everything that is known of one unit."""
    check(version, layer, unit)
    return {
        "layer": layer,
        "unit": unit,
        "units": version.units(layer),
        "positive": _side(version, layer, unit, "positive"),
        "negative": _side(version, layer, unit, "negative"),
        "cells": _cells(version, layer, unit),
        "gallery": _gallery(version, layer, unit),
        "gradients": _gradients(version, layer, unit),
    }


def check(version: OpenVersion, layer: str, unit: int) -> None:
    """Raise NotFound unless the layer has the unit."""
    units = version.units(layer)
    if not 0 <= unit < units:
        raise NotFound(f"{layer} has no unit {unit}; its units are 0 to {units - 1}")


def _side(version: OpenVersion, layer: str, unit: int, sign: str) -> Side:
    answer = patch_answers.top(version.run, layer, unit, k=16, sign=sign)
    pictures = version.thumbnails(layer, unit, sign)
    first = near_duplicates.leaders(pictures[: len(answer["patches"])])
    return {
        "note": answer["note"],
        "extreme": answer["extreme"],
        "images_at_extreme": answer["images_at_extreme"],
        "patches": [_patch(row, first) for row in answer["patches"]],
        "pictures": len(pictures),
    }


def _patch(row: patch_answers.Patch, first: list[int]) -> Patch:
    rank = row["rank"]
    return {
        "rank": rank,
        "same_as": first[rank] if rank < len(first) and first[rank] != rank else None,
        "value": plain(row["value"]),
        "image_id": row["image_id"],
        "label": row["label"],
        "y": row["y"],
        "x": row["x"],
        "focus": row["focus"],
    }


def _finest(version: OpenVersion, layer: str) -> int | None:
    grids = [grid for grid in version.run.grids if version.run.has("cells", layer, grid)]
    return max(grids, default=None)


def on_map(version: OpenVersion, layer: str, grid: int, unit: int) -> UnitMap:
    """Return the unit's mean in each cell of a grid, in the order of the cells."""
    check(version, layer, unit)
    mean = version.array("cells", layer, grid, "mean")
    return {"layer": layer, "grid": grid, "unit": unit, "mean": rounded(mean[:, unit], 4)}


def _cells(version: OpenVersion, layer: str, unit: int) -> StrongCells | None:
    """Return the cells of the finest grid where the unit's mean is largest."""
    grid = _finest(version, layer)
    if grid is None:
        return None
    mean, rows, cols = (version.array("cells", layer, grid, name) for name in ("mean", "row", "col"))
    best = np.argsort(-mean[:, unit], kind="stable")[:STRONG_CELLS].tolist()
    return {
        "grid": grid,
        "strongest": [{"row": int(rows[i]), "col": int(cols[i]), "mean": plain(mean[i, unit], 4)} for i in best],
    }


def likeness(version: OpenVersion, layer: str, unit: int) -> Likeness:
    """Return how each unit's means over the cells of the finest grid correlate with this one's."""
    check(version, layer, unit)
    grid = _finest(version, layer)
    if grid is None:
        raise NotFound(f"{layer} has no cells to compare units by")
    mean = version.array("cells", layer, grid, "mean").astype(np.float64)
    centred = mean - mean.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = (centred.T @ centred[:, unit]) / (length * length[unit])
    return {"layer": layer, "unit": unit, "correlation": rounded(correlation, 3)}


def speaks(version: OpenVersion, layer: str, of: str) -> Speaks:
    """Return how each unit's means over the cells correlate with the cells' attribution to a class, as a card does."""
    shared = version.shared(version.layer(layer))
    if shared.attributed is None or shared.unit_maps is None:
        how = version.run.version.about.get("no_scores", "run it --with attribution")
        raise NotFound(f"{version.run.name} does not know what the cells of {layer} speak for: {how}")
    cells, attribution = shared.attributed
    index, mean, _ = classes.class_column(version.run, attribution.mean, of)
    used = attribution.used > 0
    correlation = unit_facts.weighted_correlation(mean[used], cells.mean[used], cells.count[used])
    chance = shared.unit_maps.chance(mean[used])
    return {
        "layer": layer,
        "class": index,
        "name": classes.class_name(version.run, index),
        "cells": int(used.sum()),
        "bound": plain(chance.moved, 3),
        "permuted": plain(chance.permuted, 3),
        "correlation": rounded(correlation, 3),
    }


def _gallery(version: OpenVersion, layer: str, unit: int) -> GalleryFacts | None:
    if not version.run.has("gallery", layer):
        return None
    value, best, patch, dead = (
        version.rows("gallery", layer, None, name, slice(unit, unit + 1))[0]
        for name in ("value", "best", "patch", "dead")
    )
    return {"value": plain(value), "best": plain(best), "patch": plain(patch), "dead": bool(dead)}


def _gradients(version: OpenVersion, layer: str, unit: int) -> StoredGradients | None:
    if not version.run.has("gradients", layer):
        return None
    stored = version.gradients(layer, unit)
    return {"method": stored.method, "ranks": stored.rank.tolist()}
