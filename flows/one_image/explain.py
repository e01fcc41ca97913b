"""Explain one image by the building blocks of a layer: its grid, units and groups, and their effect on a class.

Olah et al., The Building Blocks of Interpretability, Distill 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.arrays import Byte, Float, Int, Layer
from atlas.attribution.scores import Score, class_logit
from atlas.inversion.recipes import ICON_RECIPES
from atlas.model import gradient_flow
from atlas.model.forward_mode import NoTangentError
from atlas.one_image import between, contribution, likeness
from atlas.one_image.blocks import blocks
from atlas.one_image.groups import groups
from flows.drawing import targets
from flows.drawing.illustrator import Drawing, Illustrator
from flows.model.choice import Choice
from flows.model.context import ModelContext
from flows.one_image.answers import (
    ClassTarget,
    Driven,
    Driver,
    ExplainedLayer,
    Explanation,
    LayerFacts,
    Links,
    Parameters,
    UnitPictures,
)
from flows.one_image.layer import LayerView, describe, side_of
from flows.one_image.memory import Keep, Memory
from flows.questions import classes as class_answers
from storage.errors import UsageError

ICONS = ("auto", "atlas", "drawn", "none")
MOST_DRAWN, MOST_LOOKED_UP = 7, 14
"""Most blocks per side: where icons are drawn, and where they are looked up in an atlas."""

MOST_GROUPS = 8
DRIVEN, DRIVERS = 4, 3
"""Later units whose drivers are listed, and the number of drivers of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to explain: a class (NAME, INDEX or class:INDEX, by default the model's first choice), and a class to set against it.

    `cells` is the most blocks per side of the grid, `parts` the most where each takes its own pass; `groups` the number
    of factors of the activation; `top` the units listed per block; `units` the number followed to a later layer;
    `icons` their source, one of ICONS. Without `pictures`, units get none.
    """

    target: str | None = None
    versus: str | None = None
    cells: int | None = None
    parts: int = 7
    groups: int = 6
    top: int = 4
    units: int = 64
    icons: str = "auto"
    pictures: bool = True
    drawing: Drawing = field(default_factory=Drawing)

    def check(self) -> None:
        """Raise UsageError for a value out of range."""
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
    context: ModelContext,
    image: str,
    layer: str,
    *,
    to: str | None = None,
    question: Question | None = None,
    memory: Memory | None = None,
) -> Explanation:
    """Explain one image at a layer; return plain numbers, lists and numpy arrays, as docs/explain.md lists them.

    With `to`, also explain it at that later layer, and measure the effect of the first layer on it. With the `memory` of
    an earlier question about the same image and layers, another class costs its gradient only.
    Raises UsageError, NotFound or UnknownLayer.
    """
    question = question or Question()
    question.check()
    model, memory = context.model, memory or Memory(Illustrator(context, question.drawing))
    illustrator, keep = memory.illustrator, memory.keep
    pixels = keep("pixels", lambda: model.preprocess.pixels(context.image(image)))
    x = model.preprocess.normalise(torch.from_numpy(pixels.copy())[None]).contiguous(memory_format=torch.channels_last)
    names = [layer] if to is None else [layer, to]
    layers, choices = keep("layers", lambda: context.layers(names)), keep("choices", lambda: context.choices(x))
    target, versus, score = _question(context, question, choices)
    try:
        keep("gradient", lambda: _check_gradient(context, x, score, target))
        views = [
            _view(context, x, layers[name], score, question, _sources(illustrator, question, name), keep)
            for name in names
        ]
        if not math.isfinite(views[0].score):
            raise ValueError(f"{target} has a score that is not finite for this image, and can't be explained")
        links = _links(illustrator, x, views[0], views[1], question) if to is not None else None
        described = [
            describe(x, view, illustrator, top=question.top, later=view is not views[0], keep=keep) for view in views
        ]
    except (NoTangentError, ValueError) as error:
        raise UsageError(str(error)) from None
    explained: list[ExplainedLayer] = [
        {**facts, **_unit_pictures(illustrator, view, facts, links, wanted=question.pictures)}
        for view, facts in zip(views, described, strict=True)
    ]
    return {
        "image": image,
        "model": model.spec,
        "run": None if context.run is None else f"{context.run.name}@{context.run.number}",
        "picture": _rgb(pixels),
        "choices": choices,
        "target": {**_describe_class(target), "score": views[0].score},
        "versus": None if versus is None else _describe_class(versus),
        "class_names": _class_names(model.classes, described),
        "layer": explained[0],
        "later": explained[1] if to is not None else None,
        "between": links,
        "parameters": _parameters(question),
    }


def _check_gradient(context: ModelContext, x: Tensor, score: Score, target: targets.Target) -> None:
    """Raise ValueError where torch has no gradient of the score; where a layer lies before a frozen part is said later."""
    why = gradient_flow.why_none_of(context.model.module, score.logits, x)
    if why and why != gradient_flow.FROZEN:
        raise ValueError(f"{target} can't be explained: {why}")


def _question(
    context: ModelContext, question: Question, choices: list[Choice]
) -> tuple[targets.Target, targets.Target | None, Score]:
    """Return the class, the class set against it, and the score to attribute."""
    classes, logits = context.model.classes, context.model.logits
    named = choices[0]["index"] if question.target is None else _class(question.target, classes)
    target, score = targets.of_class(named, classes), class_logit(named, logits)
    if question.versus is None:
        return target, None, score
    versus = _class(question.versus, classes)
    if versus == named:
        raise UsageError(f"--versus {question.versus} is the class itself; name another")
    return target, targets.of_class(versus, classes), contribution.difference(score, class_logit(versus, logits))


def _class(text: str, classes: tuple[str, ...]) -> int:
    if text.startswith("prob:"):
        raise UsageError(f"{text}: explain takes a class's logit; write {text.removeprefix('prob:')}")
    return class_answers.class_index(text, classes)


def _sources(illustrator: Illustrator, question: Question, layer: str) -> tuple[str, str]:
    """Return the source of the icons of a layer's blocks, and of its groups.

    No cell's mean resembles the direction of a group, so its icon is drawn unless only the atlas is allowed.
    """
    has = illustrator.has_atlas(layer)
    if question.icons == "atlas" and not has:
        raise UsageError(f"--icons atlas: no run with icons of {layer} is named; add --run NAME, or --icons drawn")
    if question.icons == "auto":
        return "atlas" if has else "drawn", "drawn"
    return question.icons, question.icons


def _view(
    context: ModelContext,
    x: Tensor,
    layer: Layer,
    score: Score,
    question: Question,
    sources: tuple[str, str],
    keep: Keep,
) -> LayerView:
    """Compute the activation at the layer and the score's gradient there, and divide them into blocks and groups."""
    activations, gradients, value = contribution.sensitivity(context.model.module, x, layer, score)
    activation, by_activation = activations[0].float().numpy(), gradients[0].float().numpy()
    height, width = activation.shape[1:]
    most = question.cells or (MOST_DRAWN if sources[0] == "drawn" else MOST_LOOKED_UP)
    return LayerView(
        layer=layer,
        activation=activation,
        by_activation=by_activation,
        score=value,
        blocks=blocks(height, width, most),
        parts=blocks(height, width, min(most, question.parts)),
        groups=keep(f"groups {layer.name}", lambda: groups(activation, question.groups, seed=question.drawing.seed)),
        source=sources[0],
        groups_source=sources[1],
    )


def _links(illustrator: Illustrator, x: Tensor, view: LayerView, later: LayerView, question: Question) -> Links:
    """Return the effects of parts, units and groups of one layer on those of a later one; rows are the earlier layer's."""
    start, end = torch.from_numpy(view.activation), torch.from_numpy(later.activation)
    module = illustrator.module([view.layer.name, later.layer.name])
    units = _strongest_units(view, question.units)

    def along(parts: between.Parts, reading: between.Reading) -> Any:
        return between.effects_on_layer(module, x, view.layer, later.layer, parts, reading)

    positions = along(between.position_parts(start, view.parts), between.read_lengths(end, later.parts))
    driven = along(between.unit_parts(start, units), between.read_sums)
    return {
        "positions": positions.reshape(*view.parts.shape, *later.parts.shape),
        "units": units,
        "unit_to_unit": driven,
        "drivers": _drivers(view, later, units, driven),
        "group_to_group": along(
            between.pattern_parts(view.groups.patterns()), between.read_projections(later.groups.patterns())
        ),
    }


def _drivers(view: LayerView, later: LayerView, units: Int, driven: Float) -> list[Driven]:
    """Return the drivers of the later units that speak most for the class, the strongest of either sign first."""
    speaking = likeness.strongest(later.contribution.sum((1, 2)), DRIVEN)
    rows: list[Driven] = []
    for unit in speaking.tolist():
        best = likeness.strongest(np.abs(driven[:, unit]), DRIVERS)
        drivers: list[Driver] = [
            {"unit": int(units[row]), "side": view.side(units[row]), "effect": float(driven[row, unit])}
            for row in best.tolist()
        ]
        rows.append({"unit": unit, "side": later.side(unit), "drivers": drivers})
    return rows


def _unit_pictures(
    illustrator: Illustrator, view: LayerView, layer: LayerFacts, links: Links | None, *, wanted: bool
) -> UnitPictures:
    """Return pictures of the units that the description names: for and against, at the places, and as drivers."""
    if not wanted:
        return {"unit_pictures": {}, "unit_pictures_from": "none"}
    grid, attribution = layer["grid"], layer["attribution"]
    named = [(row["unit"], row["side"]) for rows in (attribution["for"], attribution["against"]) for row in rows]
    for place in layer["places"]:
        units, values = grid["units"][place["row"], place["col"]], grid["values"][place["row"], place["col"]]
        named += [(unit, side_of(value)) for unit, value in zip(units.tolist(), values.tolist(), strict=True)]
    if links is not None and not layer["later"]:
        named += [(driver["unit"], driver["side"]) for row in links["drivers"] for driver in row["drivers"]]
    unit_pictures, source = illustrator.units(view.layer, sorted(set(named)), draw=view.source != "none")
    return {"unit_pictures": unit_pictures, "unit_pictures_from": source}


def _class_names(names: tuple[str, ...], described: list[LayerFacts]) -> dict[int, str]:
    """Return the names of the classes in the descriptions by index; none where the model has no names."""
    listed = [layer["groups"]["classes"].ravel() for layer in described]
    listed += [layer["parts"]["classes"].ravel() for layer in described if "classes" in layer["parts"]]
    return {int(index): names[index] for index in np.unique(np.concatenate(listed)) if index < len(names)}


def _strongest_units(view: LayerView, count: int) -> np.ndarray:
    """Return the units with the largest contribution of either sign; where all are 0, the most active ones."""
    contribution = np.abs(view.contribution.sum((1, 2)))
    return likeness.strongest(contribution if contribution.any() else np.abs(view.activation).sum((1, 2)), count)


def _parameters(question: Question) -> Parameters:
    drawing = question.drawing
    return {
        "cells": question.cells,
        "parts": question.parts,
        "groups": question.groups,
        "top": question.top,
        "units": question.units,
        "icons": question.icons,
        "recipe": drawing.recipe,
        "steps": drawing.steps or ICON_RECIPES[drawing.recipe].steps,
        "size": drawing.size,
        "seed": drawing.seed,
    }


def _describe_class(target: targets.Target) -> ClassTarget:
    return {"text": str(target), "index": target.index, "name": target.name}


def _rgb(pixels: Byte) -> Byte:
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)
