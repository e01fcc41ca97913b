"""Turn the targets that a user writes into objectives, and into the score of the finished picture."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.arrays import Layer
from atlas.inversion import objectives
from atlas.inversion.objectives import Objective
from atlas.inversion.whitening import whitener
from atlas.model import gradient_flow
from atlas.model.activations import recording
from flows.drawing import targets
from flows.drawing.targets import Target
from flows.model import prepared
from flows.model.context import ModelContext, count_classes
from flows.questions.cells import find_cell
from storage.artefacts import arrays
from storage.errors import NotFound, UsageError

EPSILON = 1e-2
"""Regularises the whitening in which a picture is turned towards the mean of a cell, as for icons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The goal of one picture: the text of its target, weighted parts, the objective to optimise and the one that scores.

    The score of a unit is its largest value over positions; everything else is scored by its aim.
    """

    text: str
    parts: tuple[tuple[float, Target], ...]
    aim: Objective
    judge: Objective

    @property
    def layers(self) -> frozenset[str]:
        return self.aim.layers - {objectives.LOGITS}

    @property
    def of_classes(self) -> bool:
        """Whether the goal reads class scores, so that the whole model must run."""
        return objectives.LOGITS in self.aim.layers

    @property
    def only(self) -> Target | None:
        """The target, where the goal is a single one of weight 1."""
        return self.parts[0][1] if len(self.parts) == 1 and self.parts[0][0] == 1 else None


def goals(texts: Sequence[str], context: ModelContext) -> tuple[list[Goal], dict[str, Layer]]:
    """Parse targets; return the goals and the layers that they name.

    Raises UsageError and NotFound before anything is drawn.
    """
    modules = dict(context.model.module.named_modules()).keys() - {""}
    parsed = [(text, targets.parse_sum(text, context.model.classes, modules)) for text in texts]
    names = sorted({part.layer for _, parts in parsed for _, part in parts if part.layer})
    layers = context.layers(names) if names else {}
    wanted = [_goal(text, parts, layers, context) for text, parts in parsed]
    named = [part for _, parts in parsed for _, part in parts]
    check_finite(named, layers, context)
    for part in named:
        check_gradient(context, str(part), layers.get(part.layer))
    return wanted, layers


def unit_goals(layer: Layer, numbers: Sequence[int]) -> list[Goal]:
    """Return a goal for each of some units of a layer."""
    listed = []
    for number in numbers:
        target = Target(kind="unit", layer=layer.name, index=number)
        aim, judge = objectives.channel(layer.name, number), objectives.peak(layer.name, number)
        listed.append(Goal(text=str(target), parts=((1.0, target),), aim=aim, judge=judge))
    return listed


def _goal(text: str, parts: list[tuple[float, Target]], layers: dict[str, Layer], context: ModelContext) -> Goal:
    aims = [weight * _aim(part, layers, context) for weight, part in parts]
    aim = functools.reduce(lambda a, b: a + b, aims)
    alone = parts[0][1] if len(parts) == 1 and parts[0][0] == 1 else None
    judge = aim
    if alone is not None and alone.kind == "unit" and alone.position is None:
        judge = objectives.peak(alone.layer, alone.index)
    return Goal(text=text if alone is None else str(alone), parts=tuple(parts), aim=aim, judge=judge)


def _aim(target: Target, layers: dict[str, Layer], context: ModelContext) -> Objective:
    if target.kind in ("class", "probability"):
        _check_class(target, context)
    if target.kind == "class":
        return objectives.class_logit(target.index)
    if target.kind == "probability":
        return objectives.class_probability(target.index)
    if target.kind == "layer":
        return objectives.deepdream(target.layer)
    if target.kind == "cell":
        return _cell_objective(target, context)
    layer = layers[target.layer]
    if not target.index < layer.units:
        raise NotFound(f"layer {layer.name} has no unit {target.index}; its units are 0 to {layer.units - 1}")
    if target.position is None:
        return objectives.channel(layer.name, target.index)
    return objectives.neuron(layer.name, target.index, *target.position)


def _check_class(target: Target, context: ModelContext) -> None:
    """Raise NotFound for a class beyond the model's outputs, which count the classes where they have no names."""
    if target.kind == "probability" and count_classes(context.model) == 1:
        raise UsageError(f"{target}: the model has one score per image, which has no probability; write class:0")
    if not context.model.classes and target.index >= (count := count_classes(context.model)):
        raise NotFound(f"the model has no class {target.index}; its classes are 0 to {count - 1}")


def check_finite(parts: Sequence[Target], layers: dict[str, Layer], context: ModelContext) -> None:
    """Raise UsageError for a unit, layer or class whose values are not finite, since nothing leads uphill there."""
    model, values = context.model, dict[str, Tensor]()
    with torch.no_grad(), recording(model.module, layers, values.__setitem__, clone=True) as run:
        output = run(prepared.example(model)[None])
    for part in parts:
        whole = values[part.layer] if part.layer else model.logits(output)
        taken = whole[:, part.index] if part.kind in ("unit", "class", "probability") else whole
        if not bool(taken.isfinite().all()):
            raise UsageError(f"{part} has values that are not finite (NaN or infinite), and can't be drawn")


def check_gradient(context: ModelContext, name: str, layer: Layer | None) -> None:
    """Raise UsageError where no gradient passes from a picture to a layer, or to the class scores where that is None."""
    model, x = context.model, prepared.example(context.model)[None]
    why = (
        gradient_flow.why_none_of(model.module, model.logits, x)
        if layer is None
        else gradient_flow.why_no_gradient(model.module, layer, x)
    )
    if why:
        raise UsageError(f"{name} can't be drawn: {why}")


def _cell_objective(target: Target, context: ModelContext) -> Objective:
    """Return the objective that turns the activation towards the mean of a cell of the run's atlas."""
    run = context.run
    if run is None or target.position is None:
        raise UsageError(f"{target} is a cell of an atlas; name its run with --run NAME")
    cells = run.cells(target.layer, target.index)
    row, col = target.position
    number = find_cell(cells.row, cells.col, row, col)
    if number is None:
        raise NotFound(f"{run.name} has no cell {row},{col} in grid {target.index} of {target.layer}")
    moment = arrays.read_array(run.result("moment", target.layer).file("moment.zarr"), "moment")
    return objectives.direction(target.layer, torch.from_numpy(cells.mean[[number]]), whitener(moment, EPSILON))
