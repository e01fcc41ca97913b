"""Building blocks of one image: what a layer sees in it and where, in which units and groups, and what speaks for a class.

Olah et al., The Building Blocks of Interpretability, Distill 2018.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.arrays import Byte, Float, Int, Layer
from atlas.attribution.scores import Score, class_logit
from atlas.inversion.recipes import ICON_RECIPES
from atlas.model.forward_mode import NoTangentError
from atlas.one_image import between, contribution, likeness
from atlas.one_image.blocks import blocks
from atlas.one_image.groups import groups
from flows.drawing import targets
from flows.drawing.illustrator import Drawing, Illustrator
from flows.model.context import ModelContext
from flows.one_image.layer import LayerView, describe, side_of
from flows.questions import classes as class_answers
from storage.errors import UsageError

ICONS = ("auto", "atlas", "drawn", "none")
MOST_DRAWN, MOST_LOOKED_UP = 7, 14
"""Blocks a side: where each icon is drawn, and where it is looked up in an atlas."""

MOST_GROUPS = 8
DRIVEN, DRIVERS = 4, 3
"""Later units that are told what drives them, and how many units of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What `explain` is asked: the class (NAME or INDEX; the model's first choice) and the one it is set against.

    `cells` is how many blocks a side the grid has at most, and `parts` how many where each takes a pass of its own;
    `groups` into how many the activation is factored; `top` how many units are told of each block; `units` how many are
    followed to a later layer; `icons` where they are from.
    """

    target: str | None = None
    versus: str | None = None
    cells: int | None = None
    parts: int = 7
    groups: int = 6
    top: int = 4
    units: int = 64
    icons: str = "auto"
    drawing: Drawing = field(default_factory=Drawing)

    def check(self) -> None:
        """Raise UsageError for what can't be."""
        limits = {"cells": (1, 64), "parts": (1, 64), "groups": (1, MOST_GROUPS), "top": (1, 16), "units": (1, 4096)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"--{name} {value}: from {low} to {high}")
        if self.icons not in ICONS:
            raise UsageError(f"--icons {self.icons} is not one of {', '.join(ICONS)}")
        if self.drawing.recipe not in ICON_RECIPES:
            raise UsageError(f"--recipe {self.drawing.recipe} is not one of {', '.join(ICON_RECIPES)}")
        if not 32 <= self.drawing.size <= 512:
            raise UsageError(f"--size {self.drawing.size}: an icon is drawn from 32 to 512 pixels")
        if self.drawing.steps is not None and self.drawing.steps < 1:
            raise UsageError(f"--steps {self.drawing.steps}: at least 1")


def explain(
    look: ModelContext, image: str, layer: str, *, to: str | None = None, told: Question | None = None
) -> dict[str, Any]:
    """Take one image apart at a layer; return plain numbers, lists and numpy arrays, as docs/explain.md lists them.

    With `to`, do so at that later layer too, and say how what is at the first moves what is there.
    Raises UsageError, NotFound or UnknownLayer.
    """
    told = told or Question()
    told.check()
    model = look.model
    pixels = model.preprocess.pixels(look.image(image))
    x = model.preprocess.normalise(torch.from_numpy(pixels.copy())[None]).contiguous(memory_format=torch.channels_last)
    names = [layer] if to is None else [layer, to]
    layers, choices = look.layers(names), look.choices(x)
    target, versus, score = _question(look, told, choices)
    illustrator = Illustrator(look, told.drawing)
    try:
        seen = [_see(look, x, layers[name], score, told, _sources(illustrator, told, name)) for name in names]
        links = _links(illustrator, x, seen[0], seen[1], told) if to is not None else None
        said = [describe(x, one, illustrator, top=told.top, later=one is not seen[0]) for one in seen]
    except (NoTangentError, ValueError) as error:
        raise UsageError(str(error)) from None
    for one, told_of in zip(seen, said, strict=True):
        told_of |= _unit_pictures(illustrator, one, told_of, links)
    return {
        "image": image,
        "model": model.spec,
        "run": None if look.run is None else f"{look.run.name}@{look.run.number}",
        "picture": _rgb(pixels),
        "choices": choices,
        "target": _named(target) | {"score": seen[0].score},
        "versus": None if versus is None else _named(versus),
        "class_names": _class_names(model.classes, said),
        "layer": said[0],
        "later": said[1] if to is not None else None,
        "between": links,
        "parameters": _parameters(told),
    }


def _question(
    look: ModelContext, told: Question, choices: list[dict[str, Any]]
) -> tuple[targets.Target, targets.Target | None, Score]:
    """Return the class, the one it is set against, and the number that is attributed."""
    classes, logits = look.model.classes, look.model.logits
    named = choices[0]["index"] if told.target is None else _class(told.target, classes)
    target, score = targets.of_class(named, classes), class_logit(named, logits)
    if told.versus is None:
        return target, None, score
    other = _class(told.versus, classes)
    if other == named:
        raise UsageError(f"--versus {told.versus} is the class itself; name another")
    return target, targets.of_class(other, classes), contribution.difference(score, class_logit(other, logits))


def _class(text: str, classes: tuple[str, ...]) -> int:
    if text.startswith("prob:"):
        raise UsageError(f"{text}: what is explained is a class's logit; write {text.removeprefix('prob:')}")
    return class_answers.class_index(text.removeprefix("class:"), classes)


def _sources(illustrator: Illustrator, told: Question, layer: str) -> tuple[str, str]:
    """Say where the icons of a layer's blocks, and those of its groups, are to be from.

    A group's direction is like no cell's mean, so its icon is drawn unless the atlas alone is wanted.
    """
    has = illustrator.has_atlas(layer)
    if told.icons == "atlas" and not has:
        raise UsageError(f"--icons atlas: no run with icons of {layer} is named; --run NAME, or --icons drawn")
    if told.icons == "auto":
        return "atlas" if has else "drawn", "drawn"
    return told.icons, told.icons


def _see(
    look: ModelContext, x: Tensor, layer: Layer, score: Score, told: Question, sources: tuple[str, str]
) -> LayerView:
    """Run the image to the layer and the score back to it, and cut what is there into blocks and groups."""
    found, by_found, value = contribution.sensitivity(look.model.module, x, layer, score)
    activation, by_activation = found[0].float().numpy(), by_found[0].float().numpy()
    height, width = activation.shape[1:]
    most = told.cells or (MOST_DRAWN if sources[0] == "drawn" else MOST_LOOKED_UP)
    return LayerView(
        layer=layer,
        activation=activation,
        by_activation=by_activation,
        score=value,
        blocks=blocks(height, width, most),
        parts=blocks(height, width, min(most, told.parts)),
        groups=groups(activation, told.groups, seed=told.drawing.seed),
        source=sources[0],
        groups_source=sources[1],
    )


def _links(illustrator: Illustrator, x: Tensor, seen: LayerView, later: LayerView, told: Question) -> dict[str, Any]:
    """Return how parts of the grid, units and groups of one layer move those of a later one; rows are the earlier one's."""
    start, end = torch.from_numpy(seen.activation), torch.from_numpy(later.activation)
    module = illustrator.module([seen.layer.name, later.layer.name])
    units = _strongest_units(seen, told.units)

    def along(parts: between.Parts, reading: between.Reading) -> Any:
        return between.effects_on_layer(module, x, seen.layer, later.layer, parts, reading)

    positions = along(between.position_parts(start, seen.parts), between.read_lengths(end, later.parts))
    driven = along(between.unit_parts(start, units), between.read_sums)
    return {
        "positions": positions.reshape(*seen.parts.shape, *later.parts.shape),
        "units": units,
        "unit_to_unit": driven,
        "drivers": _drivers(seen, later, units, driven),
        "group_to_group": along(
            between.pattern_parts(seen.groups.patterns()), between.read_projections(later.groups.patterns())
        ),
    }


def _drivers(seen: LayerView, later: LayerView, units: Int, driven: Float) -> list[dict[str, Any]]:
    """Return what drives the later units that speak most for the class, the strongest either way first."""
    speaking = likeness.strongest(later.contribution.sum((1, 2)), DRIVEN)
    rows = []
    for unit in speaking.tolist():
        best = likeness.strongest(np.abs(driven[:, unit]), DRIVERS)
        drivers = [
            {"unit": int(units[row]), "side": seen.side(units[row]), "effect": float(driven[row, unit])}
            for row in best.tolist()
        ]
        rows.append({"unit": unit, "side": later.side(unit), "drivers": drivers})
    return rows


def _unit_pictures(
    illustrator: Illustrator, seen: LayerView, told_of: dict[str, Any], links: dict[str, Any] | None
) -> dict[str, Any]:
    """Return pictures of the units that are named: of the marked blocks, for and against, and between the layers."""
    grid, attribution = told_of["grid"], told_of["attribution"]
    named = [(row["unit"], row["side"]) for side in ("for", "against") for row in attribution[side]]
    for place in told_of["places"]:
        units, values = (grid[name][place["row"], place["col"]] for name in ("units", "values"))
        named += [(unit, side_of(value)) for unit, value in zip(units.tolist(), values.tolist(), strict=True)]
    if links is not None and not told_of["later"]:
        named += [(driver["unit"], driver["side"]) for row in links["drivers"] for driver in row["drivers"]]
    found, source = illustrator.units(seen.layer, sorted(set(named)), draw=seen.source != "none")
    return {"unit_pictures": found, "unit_pictures_from": source}


def _class_names(names: tuple[str, ...], said: list[dict[str, Any]]) -> dict[int, str]:
    """Return the names of the classes that are told of by their numbers; none where the model has none."""
    told = [part["classes"].ravel() for one in said for part in (one["groups"], one["parts"]) if "classes" in part]
    return {int(index): names[index] for index in np.unique(np.concatenate(told)) if index < len(names)}


def _strongest_units(seen: LayerView, count: int) -> np.ndarray:
    """Return the units that move the score most either way; where none does, those that are strongest."""
    moved = np.abs(seen.contribution.sum((1, 2)))
    return likeness.strongest(moved if moved.any() else np.abs(seen.activation).sum((1, 2)), count)


def _parameters(told: Question) -> dict[str, Any]:
    drawing = told.drawing
    return {
        "cells": told.cells,
        "parts": told.parts,
        "groups": told.groups,
        "top": told.top,
        "units": told.units,
        "icons": told.icons,
        "recipe": drawing.recipe,
        "steps": drawing.steps or ICON_RECIPES[drawing.recipe].steps,
        "size": drawing.size,
        "seed": drawing.seed,
    }


def _named(target: targets.Target) -> dict[str, Any]:
    return {"text": str(target), "index": target.index, "name": target.name}


def _rgb(pixels: Byte) -> Byte:
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)
