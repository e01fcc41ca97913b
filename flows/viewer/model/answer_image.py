"""What the desk answers: an image, sent or of the run, put through the run's model; and what it is asked of a unit."""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from atlas import colours
from atlas.attribution.methods import METHODS
from flows.model import context as model_context
from flows.model import images as model_images
from flows.model import published
from flows.one_image import explain as explaining
from flows.one_image import locate as locating
from flows.one_image import saliency
from flows.viewer.answers.rounding import plain
from flows.viewer.model.limits import PIXELS_MOST
from storage.errors import ImageError, NotFound, Rejected, UsageError
from storage.images.decode import decode
from storage.models import preprocessing
from storage.run import Run, open_run

MOST_BLOCKS = 14
"""Blocks a side that an image is cut into."""


def locate(store: str, asked: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Return the cells that the positions of an image fall in, and the part of it that the model sees."""
    run = open_run(store, asked["run"])
    data = data or _of_run(run, asked["id"])
    width, height = _size(data, asked)
    activation = published.activation_of(run, asked["layer"], data)
    answer = locating.locate_activation(run, asked["layer"], activation.numpy(), asked["grid"])
    kept = ("layer", "grid", "height", "width", "cells", "positions")
    return {name: answer[name] for name in kept} | {"size": [width, height], "seen": seen(run, width, height)}


def _of_run(run: Run, image_id: int) -> bytes:
    """Read an image of the run. Raises NotFound where it has gone or changed, and says nothing of where it lay."""
    try:
        return model_images.read_image(run, str(image_id))
    except (ImageError, UsageError):
        raise NotFound(f"image {image_id} of {run.name} is no longer what it was when the run was made") from None


def seen(run: Run, width: int, height: int) -> list[float]:
    """Return the part of an image that the model sees: left, top, right, bottom in parts of its width and height."""
    known = preprocessing.from_fingerprint(run.model["preprocessing"])
    geometry = known.geometry(width, height)
    rows, cols = known.size
    across = (geometry.offset_x + 0.5 + geometry.scale_x * np.array([-0.5, cols - 0.5])) / width
    down = (geometry.offset_y + 0.5 + geometry.scale_y * np.array([-0.5, rows - 0.5])) / height
    return [round(float(edge), 5) for edge in (across[0], down[0], across[1], down[1])]


def _size(data: bytes, asked: dict[str, Any]) -> tuple[int, int]:
    """Return an image's width and height. Raises UsageError, of one of the run NotFound, where it can't be used."""
    try:
        return decode(data, max_pixels=PIXELS_MOST).size
    except Rejected as error:
        if asked.get("id") is None:
            raise UsageError(f"this image can't be used: {error.detail or error.reason}") from None
        raise NotFound(f"image {asked['id']} of {asked['run']} can't be used: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(model_context.ModelContext):
    """A model that looks at one image which is at hand."""

    data: bytes

    def image(self, named: str) -> Image.Image:
        return decode(self.data, max_pixels=PIXELS_MOST)


def explain(store: str, asked: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Take an image apart at a layer; or, with `method`, say which pixels move the score, or, with `to`, what is moved."""
    run = open_run(store, asked["run"])
    data = data or _of_run(run, asked["id"])
    width, height = _size(data, asked)
    shown = Shown(model=_look(store, asked["run"]).model, run=run, data=data)
    answer = {"layer": asked["layer"], "size": [width, height], "seen": seen(run, width, height)}
    how = salient if asked.get("method") else linked if asked.get("to") else apart
    return answer | how(shown, asked)


def apart(shown: Shown, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what the layer sees, with the atlas's icons: plain numbers, cells and units."""
    answer = _explained(shown, asked)
    return {name: answer[name] for name in ("choices", "target", "versus")} | _layer(answer["layer"])


def linked(shown: Shown, asked: dict[str, Any]) -> dict[str, Any]:
    """Return how what is at each part of the image moves each part of a later layer, and what drives its units."""
    between = _explained(shown, asked)["between"]
    return {
        "to": asked["to"],
        "positions": _plain(between["positions"]),
        "drivers": [
            {"unit": row["unit"], "drivers": [{k: _plain(d[k]) for k in ("unit", "effect")} for d in row["drivers"]]}
            for row in between["drivers"]
        ],
    }


def salient(shown: Shown, asked: dict[str, Any]) -> dict[str, Any]:
    """Return how much each pixel that the model sees moves the class's score, from −1 to 1, in bytes from −127 to 127."""
    of = None if asked["of"] is None else f"class:{asked['of'].removeprefix('class:')}"
    answer, _, found = saliency.explain(shown, "the image", of, method=asked["method"])
    strength = np.round(colours.scaled(found) * 127).astype(np.int8)
    return {
        "method": asked["method"],
        "score": plain(answer["score"]),
        "target": answer["target"],
        "signed": METHODS[asked["method"]].signed,
        "rows": strength.shape[0],
        "cols": strength.shape[1],
        "map": base64.b64encode(strength.tobytes()).decode(),
    }


def _explained(shown: Shown, asked: dict[str, Any]) -> dict[str, Any]:
    told = explaining.Question(target=asked["of"], versus=asked["against"], icons="atlas", cells=MOST_BLOCKS)
    return explaining.explain(shown, "the image", asked["layer"], to=asked.get("to"), question=told)


@functools.lru_cache(maxsize=1)
def _look(store: str, run: str) -> model_context.ModelContext:
    return model_context.open_context(store, run=run)


def _layer(told: dict[str, Any]) -> dict[str, Any]:
    grid, groups, attribution = told["grid"], told["groups"], told["attribution"]
    return {
        "grid": {name: _plain(grid[name]) for name in GRID if name in grid},
        "groups": {name: _plain(groups[name]) for name in GROUPS if name in groups},
        "attribution": {name: _plain(attribution[name]) for name in ("total", "blocks", "for", "against")},
        "notes": list(told["notes"]),
    }


GRID = ("rows", "cols", "top", "left", "norm", "side", "units", "values", "relative", "cosine", "cells", "grid")
GROUPS = ("maps", "share", "explained", "attribution", "rest", "units", "weights", "cells", "cosine")


def _plain(value: Any) -> Any:
    """Return what JSON can carry, with no more digits than a picture needs."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return plain(value) if isinstance(value, float | np.floating) else value.item() if hasattr(value, "item") else value
