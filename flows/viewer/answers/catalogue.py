"""Everything that can be asked of a version, by kind and parameters: the table that server and export both go by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flows.viewer.answers import about, cells, images, moved, pictures, units
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.pictures import Picture


@dataclass(frozen=True, slots=True)
class Kind:
    """A question: its parameters with their types, in order, the function that answers it, and whether the answer lasts."""

    parameters: Mapping[str, type]
    answer: Callable[..., Any]
    about: str
    lasts: bool = True


GRID: dict[str, type] = {"layer": str, "grid": int}
CELL = GRID | {"row": int, "col": int}
UNIT: dict[str, type] = {"layer": str, "unit": int}

ANSWERS = {
    "cells": Kind(GRID, cells.columns, "The cells of a grid as columns, in row-major order."),
    "details": Kind(GRID, cells.details, "The coherence of each cell, how far to trust its icon, its first classes."),
    "labels": Kind(GRID, cells.cell_labels, "The most frequent labels of each cell of a grid."),
    "cell": Kind(CELL, cells.one, "One cell: units, labels, classes, nearest cells, members."),
    "class": Kind(GRID | {"of": str}, cells.class_map, "What each cell says for one class, by its name or number."),
    "classes": Kind({}, cells.class_names, "The names of the model's classes."),
    "units": Kind({"layer": str}, units.columns, "The units of a layer as columns."),
    "unit": Kind(UNIT, units.one, "One unit: its strongest patches, its cells, its picture."),
    "card": Kind(UNIT, units.card, "One unit: how its samples are spread, labels, classes, units like it, influence."),
    "map": Kind(GRID | {"unit": int}, units.on_map, "A unit's mean in each cell of a grid."),
    "likeness": Kind(UNIT, units.likeness, "How like a unit every other of its layer is."),
    "speaks": Kind(
        {"layer": str, "of": str}, units.speaks, "How each unit of a layer goes with what speaks for a class."
    ),
    "moved": Kind(
        {"layer": str, "since": str},
        moved.answer,
        "What moved since NAME@TAG: cells, arrows, units, labels.",
        lasts=False,  # whoever may write measures the noise later
    ),
    "image": Kind({"id": int}, images.one, "What is known of one image of the run."),
    "images": Kind({"start": int, "text": str}, images.found, "Sixty of the images whose file or label has a text."),
    "rejects": Kind({}, images.rejects, "The images that could not be used."),
    "libraries": Kind({}, about.libraries, "The versions of libraries that the run's results were made with."),
}

WHOLE = ("cells", "details", "labels", "units")
"""Answers about all of a grid or layer, which everybody asks for: they are kept as they are sent."""

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
    """Answer one question of `ANSWERS`."""
    return ANSWERS[kind].answer(version, **parameters)


def picture(version: OpenVersion, kind: str, parameters: Mapping[str, Any]) -> Picture:
    """Return one picture of `PICTURES`."""
    found: Picture = PICTURES[kind].answer(version, **parameters)
    return found
