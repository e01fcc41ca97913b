"""Pictures of what units, layers and classes want to see: choose the way, draw them, say how they do."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from atlas.arrays import Float, Layer
from atlas.inversion import regularisers
from atlas.inversion.objectives import Objective
from atlas.inversion.recipes import PICTURE_RECIPES, PictureRecipe
from atlas.inversion.render import Progress
from atlas.inversion.visualise import BatchObjective, objective_per_picture, visualise
from atlas.model import folding
from atlas.seeds import seeds
from flows import progress
from flows.drawing import goals, natural_spectrum
from flows.drawing.drawn import Drawn, Size
from flows.drawing.goals import Goal
from flows.model import prepared
from flows.model.context import ModelContext
from storage.artefacts import galleries
from storage.errors import UsageError

OF_UNITS, OF_CLASSES = "best", "class"
"""Recipes taken where none is named."""
MOST_PIXELS, BATCH = 16 * 128 * 128, 16
"""Of a batch, for the sake of memory."""
PENALTIES: dict[str, Objective] = {
    "tv": regularisers.total_variation(),
    "l1": regularisers.l1(constant=0.5),
    "l2": regularisers.l2(constant=0.5),
    "blur": regularisers.blur(),
}
"""Of the whole picture in 0..1: how rough it is, how far from grey by two measures, how far from its blurred self."""
TRIES = 3
"""How often a unit that nothing seems to excite is drawn before it is called dead."""
DIVERSE = 1.0
"""How much facets are to differ, as a share of what they reach."""
MOST_TOGETHER = 4 * MOST_PIXELS
"""Of facets, which must be drawn in one batch."""
GREY = 128
"""What is shown of the dead: their pictures are of noise alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How pictures are drawn: what is left out is chosen by what they are of."""

    recipe: str | None = None
    steps: int | None = None
    size: Size | None = None
    seed: int = 0
    facets: int = 1
    penalties: Mapping[str, float] = field(default_factory=dict)
    """Weights of PENALTIES, which are taken from what is optimised, and not from what is told of it."""

    def __post_init__(self) -> None:
        for name, weight in self.penalties.items():
            if name not in PENALTIES or not 0 < weight < math.inf:
                raise UsageError(
                    f"--penalty {name}={weight:g}: write one of {', '.join(PENALTIES)}, and a weight above 0"
                )

    def picture_recipe(self, of_classes: bool) -> PictureRecipe:
        name = self.recipe or (OF_CLASSES if of_classes else OF_UNITS)
        if name not in PICTURE_RECIPES:
            raise UsageError(f"--recipe {name} is not one of {', '.join(PICTURE_RECIPES)}")
        return (
            PICTURE_RECIPES[name]
            if self.steps is None
            else dataclasses.replace(PICTURE_RECIPES[name], steps=self.steps)
        )

    def shape(self, of_classes: bool, own: Size) -> Size:
        """Return height and width: what was asked for; else for classes the model's own size, else the recipe's."""
        side = self.picture_recipe(of_classes).side
        return self.size or (own if of_classes else (side, side))


def size_of(text: str | None) -> Size | None:
    """Read a size: a side, or HEIGHTxWIDTH. Raises UsageError for what isn't one."""
    if text is None:
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 16 <= int(side) <= 4096 for side in sides):
        raise UsageError(f"--size {text}: a side such as 128, or HEIGHTxWIDTH such as 96x256, from 16 to 4096 pixels")
    return int(sides[0]), int(sides[-1])


def show(look: ModelContext, texts: Sequence[str], how: Settings) -> list[Drawn]:
    """Draw pictures of targets as they are written. Raises UsageError or NotFound where one can't be."""
    wanted, layers = goals.goals(texts, look)
    return draw(look, wanted, layers, how)


def every_unit(look: ModelContext, texts: Sequence[str], how: Settings) -> list[Drawn]:
    """Draw all units of one layer, or take the run's gallery of it where nothing else is asked for."""
    if len(texts) != 1 or ":" in texts[0]:
        raise UsageError(f"--all draws every unit of one layer; name a layer, not {' '.join(texts)}")
    (layer,) = look.layers(texts).values()
    wanted = goals.unit_goals(layer, range(layer.units))
    run = look.run
    if run is not None and run.has("gallery", layer.name) and how == Settings():
        return _kept(run.gallery(layer.name), wanted, int(run.version.about["config"]["seed"]))
    return draw(look, wanted, {layer.name: layer}, how)


def draw(look: ModelContext, wanted: Sequence[Goal], layers: dict[str, Layer], how: Settings) -> list[Drawn]:
    """Draw a picture of each wish, or `facets` of each that differ; many in one batch.

    Raises UsageError where it can't be done as asked.
    """
    model = folding.fold(look.model.module, prepared.example(look.model)).to(
        "cuda" if torch.cuda.is_available() else "cpu"
    )
    found: list[Drawn] = []
    with progress.current().bar("pictures", len(wanted) * how.facets, "pictures") as advance:
        for group in _groups(wanted, how.facets):
            before = len(found)

            def tell(done: int, total: int, before: int = before) -> None:
                advance(before + done)

            found += _group(look, model, group, layers, how, tell)
    place = {id(goal): number for number, goal in enumerate(wanted)}
    return sorted(found, key=lambda one: (place[id(one.goal)], one.facet or 0))


def describe(look: ModelContext, drawn: Sequence[Drawn], how: Settings) -> dict[str, Any]:
    """Return what is told of the pictures, as plain values."""
    facts = _Facts(look)
    return {
        "model": look.model.spec,
        "run": None if look.run is None else look.run.name,
        "seed": drawn[0].seed if drawn else how.seed,
        "penalties": dict(how.penalties),
        "pictures": [_told(one) | facts.of(one) for one in drawn],
    }


def _groups(wanted: Sequence[Goal], facets: int) -> list[list[Goal]]:
    """Cut wishes into those that are drawn together: those of classes, which are drawn otherwise; each, with facets."""
    if facets > 1:
        return [[goal] for goal in wanted]
    halves = ([goal for goal in wanted if goal.of_classes is told] for told in (False, True))
    return [half for half in halves if half]


def _group(
    look: ModelContext,
    model: folding.Folded,
    group: list[Goal],
    layers: dict[str, Layer],
    how: Settings,
    tell: Progress,
) -> list[Drawn]:
    of_classes, preprocess = group[0].of_classes, look.model.preprocess
    recipe, size = how.picture_recipe(of_classes), how.shape(of_classes, preprocess.size)
    shown = [goal for goal in group for _ in range(how.facets)]
    named = {name for goal in group for name in goal.layers}
    aims = objective_per_picture([_less(goal.aim, how.penalties) for goal in shown])
    if how.facets > 1:
        _check_facets(how.facets, recipe, size)
        apart = _apart(look, group[0], layers)
        named.add(apart.name)
        layers = layers | {apart.name: apart}
        aims = _differing(aims, apart.name)
    try:
        made = visualise(
            model,
            aims,
            [layers[name] for name in sorted(named)],
            recipe=recipe,
            seeds=seeds(how.seed, [f"{goal.text}{_suffix(n % how.facets)}" for n, goal in enumerate(shown)]),
            mean=look.model.mean,
            std=look.model.std,
            size=size,
            own_size=preprocess.size,
            logits=look.model.logits if of_classes else None,
            judge=objective_per_picture([goal.judge for goal in shown]),
            metric=objective_per_picture([goal.aim for goal in shown]),
            spectrum=natural_spectrum.spectrum(look, *size) if recipe.canvas == "phase" else None,
            batch=len(shown) if how.facets > 1 else batch_of(len(shown), size),
            tries=TRIES if how.facets == 1 else 1,
            progress=tell,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    return [
        Drawn(
            goal=goal,
            facet=number % how.facets if how.facets > 1 else None,
            picture=np.full_like(made.pictures[number], GREY) if made.dead[number] else made.pictures[number],
            value=float(made.value[number]),
            best=float(made.best[number]),
            dead=bool(made.dead[number]),
            recipe=recipe,
            size=size,
            seed=how.seed,
        )
        for number, goal in enumerate(shown)
    ]


def _less(aim: Objective, penalties: Mapping[str, float]) -> Objective:
    for name, weight in penalties.items():
        aim = aim - weight * PENALTIES[name]
    return aim


def _check_facets(facets: int, recipe: PictureRecipe, size: Size) -> None:
    if recipe.canvas == "zero":
        raise UsageError(
            f"--facets {facets}: recipe {recipe.name} begins without chance, so that its facets are all alike"
        )
    most = MOST_TOGETHER // (size[0] * size[1])
    if facets > most:
        raise UsageError(
            f"--facets {facets}: of {size[0]} x {size[1]} pixels at most {most} are drawn together; or --size"
        )


def _kept(gallery: galleries.Gallery, wanted: Sequence[Goal], seed: int) -> list[Drawn]:
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
    """Return how many pictures are drawn together: a number that depends on their size, unless there are fewer."""
    return max(1, min(count, BATCH, MOST_PIXELS // (size[0] * size[1])))


def _suffix(facet: int) -> str:
    return f"/{facet}" if facet else ""


def _differing(aims: BatchObjective, layer: str) -> BatchObjective:
    return lambda rows: regularisers.diverse(aims(rows), layer, DIVERSE)


def _apart(look: ModelContext, goal: Goal, layers: dict[str, Layer]) -> Layer:
    """Return the layer at which facets are to differ: the wish's own, or for a class the last with a grid."""
    if goal.layers:
        return layers[sorted(goal.layers)[0]]
    spatial = [layer for layer in look.layers().values() if layer.height * layer.width > 1]
    if not spatial:
        raise UsageError(
            f"--facets: no layer of {look.model.spec} has more than one position, where facets could differ"
        )
    return spatial[-1]


def _told(one: Drawn) -> dict[str, Any]:
    return {
        "target": one.goal.text,
        "kind": "sum" if one.goal.only is None else one.goal.only.kind,
        "facet": one.facet,
        "value": one.value,
        "best": one.best,
        "dead": one.dead,
        "size": list(one.size),
        "recipe": dataclasses.asdict(one.recipe),
    }


class _Facts:
    """What else is known of a picture: how its unit's strongest patch does, how the model classes it."""

    def __init__(self, look: ModelContext) -> None:
        self.look = look
        self._patches: dict[str, Float] = {}

    def of(self, one: Drawn) -> dict[str, Any]:
        only = one.goal.only
        if only is not None and only.kind == "unit" and only.position is None:
            return self._of_unit(one, only.layer, only.index)
        if only is not None and only.kind in ("class", "probability"):
            return self._of_class(one, only.index)
        return {}

    def _of_unit(self, one: Drawn, layer: str, unit: int) -> dict[str, Any]:
        run = self.look.run
        if run is None or not run.has("patches", layer):
            return {}
        if layer not in self._patches:
            self._patches[layer] = galleries.strongest(run.result("patches", layer))
        patch = float(self._patches[layer][unit])
        return {"patch": patch, "ratio": one.best / patch if patch > 0 else None}

    def _of_class(self, one: Drawn, wanted: int) -> dict[str, Any]:
        """Show the model the picture, stretched to its input where it is of another size."""
        model = self.look.model
        height, width = model.preprocess.size
        channels = 3 if model.preprocess.channels == 3 else 1
        shown = torch.from_numpy(np.array(Image.fromarray(one.picture).resize((width, height))))[None, ..., :channels]
        with torch.no_grad():
            scores = model.logits(model.module(model.preprocess.normalise(shown)))[0].double()
        first, shares = int(scores.argmax()), scores.softmax(0)
        return {
            "probability": float(shares[wanted]),
            "logit": float(scores[wanted]),
            "first": {"index": first, "name": model.classes[first] if first < len(model.classes) else ""},
        }
