"""What the desk answers: an image that was sent, or one of the run, put through the run's model."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from flows import explaining, locating, looking, query
from flows.viewer.numbers import plain
from flows.viewer.uploads import PIXELS_MOST
from storage import preprocessing
from storage.errors import Rejected, UsageError
from storage.images.decode import decode
from storage.run import Run

MOST_BLOCKS = 14
"""Blocks a side that an image is cut into."""


def locate(store: str, asked: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Return the cells that the positions of an image fall in, and the part of it that the model sees."""
    run = query.open_run(store, asked["run"])
    data = data or locating.read_image(run, str(asked["id"]))
    width, height = _size(data)
    activation = locating.activation_of(run, asked["layer"], data)
    answer = query.locate(run, asked["layer"], activation.numpy(), asked["grid"])
    kept = ("layer", "grid", "height", "width", "cells", "positions")
    return {name: answer[name] for name in kept} | {"size": [width, height], "seen": seen(run, width, height)}


def seen(run: Run, width: int, height: int) -> list[float]:
    """Return the part of an image that the model sees: left, top, right, bottom in parts of its width and height."""
    known = preprocessing.from_fingerprint(run.model["preprocessing"])
    geometry = known.geometry(width, height)
    rows, cols = known.size
    across = (geometry.offset_x + 0.5 + geometry.scale_x * np.array([-0.5, cols - 0.5])) / width
    down = (geometry.offset_y + 0.5 + geometry.scale_y * np.array([-0.5, rows - 0.5])) / height
    return [round(float(edge), 5) for edge in (across[0], down[0], across[1], down[1])]


def _size(data: bytes) -> tuple[int, int]:
    try:
        return decode(data, max_pixels=PIXELS_MOST).size
    except Rejected as error:
        raise UsageError(f"this image can't be used: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(looking.Look):
    """A model that looks at one image which is at hand."""

    data: bytes

    def image(self, named: str) -> Image.Image:
        return decode(self.data, max_pixels=PIXELS_MOST)


def explain(store: str, asked: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Take an image apart at a layer, with the atlas's icons: plain numbers, cells and units."""
    look = _look(store, asked["run"])
    run = query.open_run(store, asked["run"])
    data = data or locating.read_image(run, str(asked["id"]))
    width, height = _size(data)
    shown = Shown(model=look.model, run=run, data=data)
    told = explaining.Told(target=asked["of"], versus=asked["against"], icons="atlas", cells=MOST_BLOCKS)
    answer = explaining.explain(shown, "the image", asked["layer"], told=told)
    kept = ("choices", "target", "versus")
    return {
        **{name: answer[name] for name in kept},
        "layer": asked["layer"],
        "size": [width, height],
        "seen": seen(run, width, height),
        **_layer(answer["layer"]),
    }


@functools.lru_cache(maxsize=1)
def _look(store: str, run: str) -> looking.Look:
    return looking.look(store, run=run)


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


QUESTIONS = {"locate": locate, "explain": explain}
