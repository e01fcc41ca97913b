"""What pictures are to show: from targets as they are written to objectives, with what judges the picture made."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from atlas.arrays import Layer
from atlas.inversion import objectives
from atlas.inversion.objectives import Objective
from atlas.inversion.whitening import whitener
from flows.drawing import targets
from flows.drawing.targets import Target
from flows.model.context import ModelContext, count_classes
from storage.artefacts import arrays
from storage.errors import NotFound, UsageError

EPSILON = 1e-2
"""Of the metric in which a picture is turned towards a cell's mean, as for icons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One picture to be: what was written, its parts with their weights, the aim, and what the result is judged by.

    A unit is judged by its largest value over positions, everything else by its aim.
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
        """Whether the model must be run to its end."""
        return objectives.LOGITS in self.aim.layers

    @property
    def only(self) -> Target | None:
        """The target, where it is one alone."""
        return self.parts[0][1] if len(self.parts) == 1 and self.parts[0][0] == 1 else None


def goals(texts: Sequence[str], look: ModelContext) -> tuple[list[Goal], dict[str, Layer]]:
    """Read targets; return the wishes and the layers that they name.

    Raises UsageError and NotFound for what isn't there, before anything is drawn.
    """
    modules = dict(look.model.module.named_modules()).keys() - {""}
    parsed = [(text, targets.parse_sum(text, look.model.classes, modules)) for text in texts]
    names = sorted({part.layer for _, parts in parsed for _, part in parts if part.layer})
    layers = look.layers(names) if names else {}
    return [_goal(text, parts, layers, look) for text, parts in parsed], layers


def unit_goals(layer: Layer, numbers: Sequence[int]) -> list[Goal]:
    """Return the wishes for units of a layer."""
    made = []
    for number in numbers:
        target = Target(kind="unit", layer=layer.name, index=number)
        aim, judge = objectives.channel(layer.name, number), objectives.peak(layer.name, number)
        made.append(Goal(text=str(target), parts=((1.0, target),), aim=aim, judge=judge))
    return made


def _goal(text: str, parts: list[tuple[float, Target]], layers: dict[str, Layer], look: ModelContext) -> Goal:
    aims = [weight * _aim(part, layers, look) for weight, part in parts]
    aim = functools.reduce(lambda a, b: a + b, aims)
    alone = parts[0][1] if len(parts) == 1 and parts[0][0] == 1 else None
    judge = aim
    if alone is not None and alone.kind == "unit" and alone.position is None:
        judge = objectives.peak(alone.layer, alone.index)
    return Goal(text=text if alone is None else str(alone), parts=tuple(parts), aim=aim, judge=judge)


def _aim(target: Target, layers: dict[str, Layer], look: ModelContext) -> Objective:
    if target.kind in ("class", "probability"):
        _check_class(target, look)
    if target.kind == "class":
        return objectives.class_logit(target.index)
    if target.kind == "probability":
        return objectives.class_probability(target.index)
    if target.kind == "layer":
        return objectives.deepdream(target.layer)
    if target.kind == "cell":
        return _of_cell(target, look)
    layer = layers[target.layer]
    if not target.index < layer.units:
        raise NotFound(f"layer {layer.name} has no unit {target.index}; its units are 0 to {layer.units - 1}")
    if target.position is None:
        return objectives.channel(layer.name, target.index)
    return objectives.neuron(layer.name, target.index, *target.position)


def _check_class(target: Target, look: ModelContext) -> None:
    """Without names of classes, only what the model gives tells how many there are."""
    if not look.model.classes and target.index >= (count := count_classes(look.model)):
        raise NotFound(f"the model has no class {target.index}; its classes are 0 to {count - 1}")


def _of_cell(target: Target, look: ModelContext) -> Objective:
    """Turn towards the mean of a cell of the run's atlas."""
    run = look.run
    if run is None or target.position is None:
        raise UsageError(f"{target} is a cell of an atlas; say which run's by --run NAME")
    cells = run.cells(target.layer, target.index)
    row, col = target.position
    found = ((cells.row == row) & (cells.col == col)).nonzero()[0]
    if not len(found):
        raise NotFound(f"{run.name} has no cell {row},{col} in grid {target.index} of {target.layer}")
    moment = arrays.read_array(run.result("moment", target.layer).file("moment.zarr"), "moment")
    return objectives.direction(target.layer, torch.from_numpy(cells.mean[found]), whitener(moment, EPSILON))
