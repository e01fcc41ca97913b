"""Every answer and picture of a version, by kind and parameters: the table that server and export share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from pydantic import Field
from typing_extensions import TypedDict

from flows.metrics import metrics
from flows.metrics.metrics import Metric
from flows.viewer.answers import (
    about,
    cells,
    class_maps,
    images,
    label_maps,
    moved,
    names,
    pictures,
    real_fidelity,
    unit_details,
    units,
)
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.pictures import Picture
from flows.viewer.answers.rounding import Number


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request: its parameters in order, with their types, and its function; `lasts`: may be cached for ever."""

    parameters: Mapping[str, type]
    answer: Callable[..., Any]
    about: str
    lasts: bool = True


GRID: dict[str, type] = {"layer": str, "grid": int}
CELL = GRID | {"row": int, "col": int}
UNIT: dict[str, type] = {"layer": str, "unit": int}

ANSWERS = {
    "cells": Kind(GRID, cells.columns, "The cells of a grid as columns, in row-major order."),
    "details": Kind(GRID, cells.details, "The metrics of each cell and its strongest classes."),
    "labels": Kind(GRID, cells.cell_labels, "The most frequent labels of each cell of a grid."),
    "names": Kind(GRID, names.of_grid, "The labels and classes that stand out in each cell of a grid."),
    "real_fidelity": Kind(GRID, real_fidelity.of_grid, "The fidelity that real patches of a grid reach."),
    "cell": Kind(CELL, cells.one, "One cell: units, labels, classes, nearest cells, members."),
    "class": Kind(GRID | {"of": str}, class_maps.one, "A class's attribution in each cell, by its name or number."),
    "tally": Kind(GRID, label_maps.tally, "How many samples of a grid have each label and each strongest class."),
    "label": Kind(GRID | {"number": int}, label_maps.one, "How many samples of each cell have a label of `tally`."),
    "classes": Kind({}, class_maps.names, "The names of the model's classes."),
    "units": Kind({"layer": str}, units.columns, "The units of a layer as columns."),
    "unit": Kind(UNIT, units.one, "One unit: its strongest patches, its cells, its picture."),
    "card": Kind(
        UNIT, unit_details.one, "One unit: how its samples are spread, labels, classes, units like it, influence."
    ),
    "map": Kind(GRID | {"unit": int}, units.on_map, "A unit's mean in each cell of a grid."),
    "likeness": Kind(UNIT, units.likeness, "The similarity of each unit of a layer to one of them."),
    "speaks": Kind(
        {"layer": str, "of": str}, units.speaks, "The correlation of each unit of a layer with a class's attribution."
    ),
    "moved": Kind(
        {"layer": str, "since": str},
        moved.answer,
        "What moved since NAME@TAG: cells, arrows, units, labels.",
        lasts=False,  # the layout noise may be measured later
    ),
    "image": Kind({"id": int}, images.one, "One image of the run: key, label, size."),
    "images": Kind(
        {"start": int, "text": str}, images.search, "Sixty of the images with a text in their file or label."
    ),
    "accuracy": Kind({}, images.right, "How often the model's first classes are the images' labels."),
    "rejects": Kind({}, images.rejects, "The images that could not be used."),
    "libraries": Kind({}, about.libraries, "The versions of libraries that the run's results were made with."),
}

WHOLE = ("cells", "details", "labels", "names", "tally", "units")
"""Answers about a whole grid or layer, which are cached as encoded."""

PICTURES: dict[str, Kind] = {
    "tile": Kind(GRID | {"level": int, "x": int, "y": int}, pictures.tile, "A tile of a grid's pyramid."),
    "icons": Kind(GRID | {"y": int, "x": int}, pictures.icons, "The icons of a block of 8 × 8 cells."),
    "icon": Kind(CELL, pictures.icon, "One cell's icon."),
    "faces": Kind({"layer": str, "block": int}, pictures.faces, "A small picture of each of 64 units."),
    "patch": Kind(UNIT | {"sign": str, "rank": int}, pictures.patch, "One of a unit's strongest patches."),
    "gradient": Kind(UNIT | {"rank": int}, pictures.gradient, "What drives a unit in one of its patches."),
    "synthetic": Kind(UNIT, pictures.synthetic, "A picture optimised to excite a unit."),
    "member": Kind(CELL | {"index": int}, pictures.member, "One of a cell's drawn members."),
    "crop": Kind(UNIT | {"part": int, "example": int}, pictures.crop, "An example of a part of a unit's range."),
    "thumbnail": Kind({"id": int}, pictures.thumbnail, "An image of the run, small."),
    "photo": Kind({"id": int}, pictures.photo, "An image of the run."),
}


def answer(version: OpenVersion, kind: str, parameters: Mapping[str, Any]) -> Any:
    """Return one answer of `ANSWERS`."""
    return ANSWERS[kind].answer(version, **parameters)


def picture(version: OpenVersion, kind: str, parameters: Mapping[str, Any]) -> Picture:
    """Return one picture of `PICTURES`."""
    drawn: Picture = PICTURES[kind].answer(version, **parameters)
    return drawn


def shape(kind: str) -> Any:
    """Return the type of an answer: the one its function declares, with a column for each metric that it holds."""
    declared = get_type_hints(ANSWERS[kind].answer).get("return", Any)
    if kind == "details":
        return _with_metrics(declared, metrics.columns(metrics.CELL, kind), "cells")
    if kind == "units":
        return _with_metrics(declared, metrics.columns(metrics.UNIT, kind), "patches")
    return declared


def _with_metrics(declared: Any, rows: Sequence[Metric], stage: str) -> Any:
    """Return a TypedDict with a field for each metric; one is null where the run may lack its stage."""
    create: Any = TypedDict
    fields = get_type_hints(declared, include_extras=True)
    for row in rows:
        values: Any = list[Number] if row.kind == "number" else list[int]
        words = f"{row.words}, {row.unit}" if row.unit else row.words
        fields[row.key] = Annotated[values if row.stage == stage else values | None, Field(description=words)]
    extended = create(declared.__name__, fields)
    extended.__doc__ = declared.__doc__
    return extended
