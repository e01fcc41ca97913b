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

from atlas.arrays import Byte, Float, Layer
from atlas.inversion import regularisers
from atlas.inversion.objectives import Objective
from atlas.inversion.render import Progress
from atlas.inversion.styles import STYLES, Style
from atlas.inversion.visualise import Aims, singly, visualise
from atlas.model import folding
from atlas.seeds import seeds
from flows import progress
from flows.drawing import goals, natural_spectrum
from flows.drawing.goals import Wish
from flows.model import prepared
from flows.model.context import Look
from flows.sheets.contact_sheet import Tile, sheet
from storage.artefacts import galleries
from storage.errors import UsageError

Size = tuple[int, int]

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
class How:
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

    def style(self, of_classes: bool) -> Style:
        name = self.recipe or (OF_CLASSES if of_classes else OF_UNITS)
        if name not in STYLES:
            raise UsageError(f"--recipe {name} is not one of {', '.join(STYLES)}")
        return STYLES[name] if self.steps is None else dataclasses.replace(STYLES[name], steps=self.steps)

    def shape(self, of_classes: bool, own: Size) -> Size:
        """Return height and width: what was asked for; else for classes the model's own size, else the recipe's."""
        side = self.style(of_classes).side
        return self.size or (own if of_classes else (side, side))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One picture `h w 3` of a wish, what it reaches (see `Visualised`), and how it was drawn."""

    wish: Wish
    facet: int | None
    picture: Byte
    value: float
    best: float
    dead: bool
    style: Style
    size: Size
    seed: int


def size_of(text: str | None) -> Size | None:
    """Read a size: a side, or HEIGHTxWIDTH. Raises UsageError for what isn't one."""
    if text is None:
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 16 <= int(side) <= 4096 for side in sides):
        raise UsageError(f"--size {text}: a side such as 128, or HEIGHTxWIDTH such as 96x256, from 16 to 4096 pixels")
    return int(sides[0]), int(sides[-1])


def show(look: Look, texts: Sequence[str], how: How) -> list[Drawn]:
    """Draw pictures of targets as they are written. Raises UsageError or NotFound where one can't be."""
    wanted, layers = goals.wishes(texts, look)
    return draw(look, wanted, layers, how)


def every_unit(look: Look, texts: Sequence[str], how: How) -> list[Drawn]:
    """Draw all units of one layer, or take the run's gallery of it where nothing else is asked for."""
    if len(texts) != 1 or ":" in texts[0]:
        raise UsageError(f"--all draws every unit of one layer; name a layer, not {' '.join(texts)}")
    (layer,) = look.layers(texts).values()
    wanted = goals.units(layer, range(layer.units))
    run = look.run
    if run is not None and run.has("gallery", layer.name) and how == How():
        return _kept(run.gallery(layer.name), wanted, int(run.version.about["config"]["seed"]))
    return draw(look, wanted, {layer.name: layer}, how)


def picture(answer: dict[str, Any], drawn: Sequence[Drawn]) -> Byte:
    """Return one picture as it is, several as a sheet."""
    if len(drawn) == 1:
        return drawn[0].picture
    tiles = [
        Tile(picture=None if one.dead else one.picture, left=_left(one, drawn), right=_right(told))
        for one, told in zip(drawn, answer["pictures"], strict=True)
    ]
    faceted = None if drawn[0].facet is None else 1 + max(one.facet or 0 for one in drawn)
    return sheet(tiles, _title(drawn), _remark(answer, drawn), columns=faceted)


def draw(look: Look, wanted: Sequence[Wish], layers: dict[str, Layer], how: How) -> list[Drawn]:
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
    place = {id(wish): number for number, wish in enumerate(wanted)}
    return sorted(found, key=lambda one: (place[id(one.wish)], one.facet or 0))


def describe(look: Look, drawn: Sequence[Drawn], how: How) -> dict[str, Any]:
    """Return what is told of the pictures, as plain values."""
    facts = _Facts(look)
    return {
        "model": look.model.spec,
        "run": None if look.run is None else look.run.name,
        "seed": drawn[0].seed if drawn else how.seed,
        "penalties": dict(how.penalties),
        "pictures": [_told(one) | facts.of(one) for one in drawn],
    }


def _groups(wanted: Sequence[Wish], facets: int) -> list[list[Wish]]:
    """Cut wishes into those that are drawn together: those of classes, which are drawn otherwise; each, with facets."""
    if facets > 1:
        return [[wish] for wish in wanted]
    halves = ([wish for wish in wanted if wish.of_classes is told] for told in (False, True))
    return [half for half in halves if half]


def _group(
    look: Look, model: folding.Folded, group: list[Wish], layers: dict[str, Layer], how: How, tell: Progress
) -> list[Drawn]:
    of_classes, preprocess = group[0].of_classes, look.model.preprocess
    style, size = how.style(of_classes), how.shape(of_classes, preprocess.size)
    shown = [wish for wish in group for _ in range(how.facets)]
    named = {name for wish in group for name in wish.layers}
    aims = singly([_less(wish.aim, how.penalties) for wish in shown])
    if how.facets > 1:
        _check_facets(how.facets, style, size)
        apart = _apart(look, group[0], layers)
        named.add(apart.name)
        layers = layers | {apart.name: apart}
        aims = _differing(aims, apart.name)
    try:
        made = visualise(
            model,
            aims,
            [layers[name] for name in sorted(named)],
            style=style,
            seeds=seeds(how.seed, [f"{wish.text}{_suffix(n % how.facets)}" for n, wish in enumerate(shown)]),
            mean=look.model.mean,
            std=look.model.std,
            size=size,
            own_size=preprocess.size,
            logits=look.model.logits if of_classes else None,
            judge=singly([wish.judge for wish in shown]),
            told=singly([wish.aim for wish in shown]),
            spectrum=natural_spectrum.spectrum(look, *size) if style.canvas == "phase" else None,
            batch=len(shown) if how.facets > 1 else batch_of(len(shown), size),
            tries=TRIES if how.facets == 1 else 1,
            progress=tell,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    return [
        Drawn(
            wish=wish,
            facet=number % how.facets if how.facets > 1 else None,
            picture=np.full_like(made.pictures[number], GREY) if made.dead[number] else made.pictures[number],
            value=float(made.value[number]),
            best=float(made.best[number]),
            dead=bool(made.dead[number]),
            style=style,
            size=size,
            seed=how.seed,
        )
        for number, wish in enumerate(shown)
    ]


def _less(aim: Objective, penalties: Mapping[str, float]) -> Objective:
    for name, weight in penalties.items():
        aim = aim - weight * PENALTIES[name]
    return aim


def _check_facets(facets: int, style: Style, size: Size) -> None:
    if style.canvas == "zero":
        raise UsageError(
            f"--facets {facets}: recipe {style.name} begins without chance, so that its facets are all alike"
        )
    most = MOST_TOGETHER // (size[0] * size[1])
    if facets > most:
        raise UsageError(
            f"--facets {facets}: of {size[0]} x {size[1]} pixels at most {most} are drawn together; or --size"
        )


def _kept(gallery: galleries.Gallery, wanted: Sequence[Wish], seed: int) -> list[Drawn]:
    style = Style(**gallery.recipe)
    return [
        Drawn(
            wish=wish,
            facet=None,
            picture=gallery.pictures[unit],
            value=float(gallery.value[unit]),
            best=float(gallery.best[unit]),
            dead=bool(gallery.dead[unit]),
            style=style,
            size=(gallery.pictures.shape[1], gallery.pictures.shape[2]),
            seed=seed,
        )
        for unit, wish in enumerate(wanted)
    ]


def batch_of(count: int, size: Size) -> int:
    """Return how many pictures are drawn together: a number that depends on their size, unless there are fewer."""
    return max(1, min(count, BATCH, MOST_PIXELS // (size[0] * size[1])))


def _suffix(facet: int) -> str:
    return f"/{facet}" if facet else ""


def _differing(aims: Aims, layer: str) -> Aims:
    return lambda rows: regularisers.diverse(aims(rows), layer, DIVERSE)


def _apart(look: Look, wish: Wish, layers: dict[str, Layer]) -> Layer:
    """Return the layer at which facets are to differ: the wish's own, or for a class the last with a grid."""
    if wish.layers:
        return layers[sorted(wish.layers)[0]]
    spatial = [layer for layer in look.layers().values() if layer.height * layer.width > 1]
    if not spatial:
        raise UsageError(
            f"--facets: no layer of {look.model.spec} has more than one position, where facets could differ"
        )
    return spatial[-1]


def _told(one: Drawn) -> dict[str, Any]:
    return {
        "target": one.wish.text,
        "kind": "sum" if one.wish.only is None else one.wish.only.kind,
        "facet": one.facet,
        "value": one.value,
        "best": one.best,
        "dead": one.dead,
        "size": list(one.size),
        "recipe": dataclasses.asdict(one.style),
    }


class _Facts:
    """What else is known of a picture: how its unit's strongest patch does, how the model classes it."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self._patches: dict[str, Float] = {}

    def of(self, one: Drawn) -> dict[str, Any]:
        only = one.wish.only
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


def _title(drawn: Sequence[Drawn]) -> str:
    layer = _one_layer(drawn)
    if layer is None:
        return "What they want to see"
    alive = [one for one in drawn if not one.dead]
    dead = len(drawn) - len(alive)
    return f"{layer}: what its units want to see" + (f" ({dead} dead)" if dead else "")


def _remark(answer: dict[str, Any], drawn: Sequence[Drawn]) -> str:
    ways = dict.fromkeys((one.style.name, one.style.steps, one.size) for one in drawn)
    said = [answer["model"], *(f"recipe {name}, {steps} steps, {w} x {h} px" for name, steps, (h, w) in ways)]
    said.append(f"seed {answer['seed']}")
    said += [f"less {weight:g} x {name}" for name, weight in answer["penalties"].items()]
    if drawn[0].facet is not None:
        said.append(f"{1 + max(one.facet or 0 for one in drawn)} facets of each")
    if any(told.get("ratio") is not None for told in answer["pictures"]):
        said.append(f"x: how strong, against the strongest patch in {answer['run']}")
    return "  ·  ".join(said)


def _one_layer(drawn: Sequence[Drawn]) -> str | None:
    """Return the layer that all pictures show a unit of, if there is one."""
    found = {one.wish.only.layer if one.wish.only and one.wish.only.kind == "unit" else None for one in drawn}
    return found.pop() if len(found) == 1 else None


def _left(one: Drawn, drawn: Sequence[Drawn]) -> str:
    text = one.wish.text.rpartition(":")[2] if _one_layer(drawn) else one.wish.text
    return text if not one.facet else ""


def _right(told: dict[str, Any]) -> str:
    if told["dead"]:
        return ""
    if "probability" in told:
        return f"{100 * told['probability']:.0f} %"
    return f"{told['ratio']:.1f}x" if told.get("ratio") is not None else f"{told['best']:.3g}"
