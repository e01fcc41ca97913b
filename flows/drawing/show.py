"""Draw what units, layers and classes respond to: choose recipes, optimise pictures, describe the results."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from atlas.arrays import Layer
from atlas.inversion import regularisers
from atlas.inversion.objectives import Objective
from atlas.inversion.recipes import PICTURE_RECIPES, PictureRecipe
from atlas.inversion.render import Progress
from atlas.inversion.visualise import BatchObjective, objective_per_picture, visualise
from atlas.model import folding
from atlas.seeds import seeds
from flows import progress
from flows.drawing import goals, natural_spectrum
from flows.drawing.answers import Drawn, Size
from flows.drawing.goals import Goal
from flows.model.context import ModelContext
from storage.artefacts import galleries
from storage.errors import UsageError

OF_UNITS, OF_CLASSES = "best", "class"
"""Default recipes."""
MOST_PIXELS, BATCH = 16 * 128 * 128, 16
"""Most pixels and pictures in a batch, to bound memory."""
PENALTIES: dict[str, Objective] = {
    "tv": regularisers.total_variation(),
    "l1": regularisers.l1(constant=0.5),
    "l2": regularisers.l2(constant=0.5),
    "blur": regularisers.blur(),
}
"""Penalties on the whole picture in 0..1: its roughness, two distances from grey, the distance from its own blur."""
TRIES = 3
"""How many times a unit is drawn without exciting it before it counts as dead."""
DIVERSE = 1.0
"""Weight of the difference between facets, relative to the value they reach."""
MOST_TOGETHER = 4 * MOST_PIXELS
"""Most pixels of the facets of one goal, which must share a batch."""
GREY = 128
"""Plain picture of a dead unit, whose own would be noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings for pictures; what is left out depends on their targets."""

    recipe: str | None = None
    steps: int | None = None
    size: Size | None = None
    seed: int = 0
    facets: int = 1
    penalties: Mapping[str, float] = field(default_factory=dict)
    """Weights of PENALTIES, which count in the optimisation but not in the reported value."""

    def __post_init__(self) -> None:
        for name, weight in self.penalties.items():
            if name not in PENALTIES or not 0 < weight < math.inf:
                raise UsageError(
                    f"--penalty {name}={weight:g}: write one of {', '.join(PENALTIES)}, and a weight above 0"
                )

    def picture_recipe(self, of_classes: bool) -> PictureRecipe:
        """Return the recipe, by default that of classes or of units, with its steps replaced if given."""
        name = self.recipe or (OF_CLASSES if of_classes else OF_UNITS)
        if name not in PICTURE_RECIPES:
            raise UsageError(f"--recipe {name} is not one of {', '.join(PICTURE_RECIPES)}")
        return (
            PICTURE_RECIPES[name]
            if self.steps is None
            else dataclasses.replace(PICTURE_RECIPES[name], steps=self.steps)
        )

    def shape(self, of_classes: bool, own: Size) -> Size:
        """Return height and width: as set, else for classes the model's own size, else the recipe's."""
        side = self.picture_recipe(of_classes).side
        return self.size or (own if of_classes else (side, side))


def size_of(text: str | None) -> Size | None:
    """Parse a size: a side, or HEIGHTxWIDTH. Raises UsageError for anything else."""
    if text is None:
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 16 <= int(side) <= 4096 for side in sides):
        raise UsageError(f"--size {text}: a side such as 128, or HEIGHTxWIDTH such as 96x256, from 16 to 4096 pixels")
    return int(sides[0]), int(sides[-1])


def show(context: ModelContext, texts: Sequence[str], settings: Settings) -> list[Drawn]:
    """Draw pictures of targets. Raises UsageError or NotFound before drawing any."""
    wanted, layers = goals.goals(texts, context)
    return draw(context, wanted, layers, settings)


def every_unit(context: ModelContext, texts: Sequence[str], settings: Settings) -> list[Drawn]:
    """Draw all units of one layer, or return the run's gallery of it under default settings."""
    if len(texts) != 1 or ":" in texts[0]:
        raise UsageError(f"--all draws every unit of one layer; name a layer, not {' '.join(texts)}")
    (layer,) = context.layers(texts).values()
    wanted = goals.unit_goals(layer, range(layer.units))
    run = context.run
    if run is not None and run.has("gallery", layer.name) and settings == Settings():
        return _from_gallery(run.gallery(layer.name), wanted, int(run.version.about["config"]["seed"]))
    goals.check_finite([target for goal in wanted for _, target in goal.parts], {layer.name: layer}, context)
    goals.check_gradient(context, layer.name, layer)
    return draw(context, wanted, {layer.name: layer}, settings)


def draw(context: ModelContext, wanted: Sequence[Goal], layers: dict[str, Layer], settings: Settings) -> list[Drawn]:
    """Draw a picture of each goal, or several different `facets` of each, many in one batch.

    Raises UsageError where the settings do not fit the goals.
    """
    model = context.folded().to("cuda" if torch.cuda.is_available() else "cpu")
    drawn: list[Drawn] = []
    with progress.current().bar("pictures", len(wanted) * settings.facets, "pictures") as advance:
        for group in _groups(wanted, settings.facets):
            before = len(drawn)

            def tell(done: int, total: int, before: int = before) -> None:
                advance(before + done)

            drawn += _draw_group(context, model, group, layers, settings, tell)
    place = {id(goal): number for number, goal in enumerate(wanted)}
    return sorted(drawn, key=lambda picture: (place[id(picture.goal)], picture.facet or 0))


def _groups(wanted: Sequence[Goal], facets: int) -> list[list[Goal]]:
    """Group the goals drawn together: classes, which have another recipe, and the rest; with facets, each goal alone."""
    if facets > 1:
        return [[goal] for goal in wanted]
    halves = ([goal for goal in wanted if goal.of_classes is of_classes] for of_classes in (False, True))
    return [half for half in halves if half]


def _draw_group(
    context: ModelContext,
    model: folding.Folded,
    group: list[Goal],
    layers: dict[str, Layer],
    settings: Settings,
    tell: Progress,
) -> list[Drawn]:
    of_classes, preprocess = group[0].of_classes, context.model.preprocess
    recipe, size = settings.picture_recipe(of_classes), settings.shape(of_classes, preprocess.size)
    shown = [goal for goal in group for _ in range(settings.facets)]
    named = {name for goal in group for name in goal.layers}
    aims = objective_per_picture([_penalised(goal.aim, settings.penalties) for goal in shown])
    if settings.facets > 1:
        _check_facets(settings.facets, recipe, size)
        facet_layer = _facet_layer(context, group[0], layers)
        named.add(facet_layer.name)
        layers = layers | {facet_layer.name: facet_layer}
        aims = _diverse(aims, facet_layer.name)
    try:
        results = visualise(
            model,
            aims,
            [layers[name] for name in sorted(named)],
            recipe=recipe,
            seeds=seeds(settings.seed, [f"{goal.text}{_suffix(n % settings.facets)}" for n, goal in enumerate(shown)]),
            mean=context.model.mean,
            std=context.model.std,
            size=size,
            own_size=preprocess.size,
            logits=context.model.logits if of_classes else None,
            judge=objective_per_picture([goal.judge for goal in shown]),
            metric=objective_per_picture([goal.aim for goal in shown]),
            spectrum=natural_spectrum.spectrum(context, *size) if recipe.canvas == "phase" else None,
            batch=len(shown) if settings.facets > 1 else batch_of(len(shown), size),
            tries=TRIES if settings.facets == 1 else 1,
            progress=tell,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    return [
        Drawn(
            goal=goal,
            facet=number % settings.facets if settings.facets > 1 else None,
            picture=np.full_like(results.pictures[number], GREY) if results.dead[number] else results.pictures[number],
            value=float(results.value[number]),
            best=float(results.best[number]),
            dead=bool(results.dead[number]),
            recipe=recipe,
            size=size,
            seed=settings.seed,
        )
        for number, goal in enumerate(shown)
    ]


def _penalised(aim: Objective, penalties: Mapping[str, float]) -> Objective:
    for name, weight in penalties.items():
        aim = aim - weight * PENALTIES[name]
    return aim


def _check_facets(facets: int, recipe: PictureRecipe, size: Size) -> None:
    if recipe.canvas == "zero":
        raise UsageError(
            f"--facets {facets}: recipe {recipe.name} starts without randomness, so its facets would all be alike"
        )
    most = MOST_TOGETHER // (size[0] * size[1])
    if facets > most:
        raise UsageError(
            f"--facets {facets}: at most {most} of {size[0]} x {size[1]} pixels are drawn together; ask for fewer, or "
            "a smaller --size"
        )


def _from_gallery(gallery: galleries.Gallery, wanted: Sequence[Goal], seed: int) -> list[Drawn]:
    recipe = PictureRecipe(**gallery.recipe)
    return [
        Drawn(
            goal=goal,
            facet=None,
            picture=gallery.pictures[unit],
            value=float(gallery.value[unit]),
            best=float(gallery.best[unit]),
            dead=bool(gallery.dead[unit]),
            recipe=recipe,
            size=(gallery.pictures.shape[1], gallery.pictures.shape[2]),
            seed=seed,
        )
        for unit, goal in enumerate(wanted)
    ]


def batch_of(count: int, size: Size) -> int:
    """Return how many pictures to draw together: all, up to a limit that depends on their size."""
    return max(1, min(count, BATCH, MOST_PIXELS // (size[0] * size[1])))


def _suffix(facet: int) -> str:
    return f"/{facet}" if facet else ""


def _diverse(aims: BatchObjective, layer: str) -> BatchObjective:
    return lambda rows: regularisers.diverse(aims(rows), layer, DIVERSE)


def _facet_layer(context: ModelContext, goal: Goal, layers: dict[str, Layer]) -> Layer:
    """Return the layer at which facets are to differ: the goal's own, or for a class the last with a grid."""
    if goal.layers:
        return layers[sorted(goal.layers)[0]]
    spatial = [layer for layer in context.layers().values() if layer.height * layer.width > 1]
    if not spatial:
        raise UsageError(
            f"--facets: no layer of {context.model.spec} has more than one position, where facets could differ"
        )
    return spatial[-1]
