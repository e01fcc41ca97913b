"""Answer requests about one image, uploaded or of the run: locate it, explain it, its saliency, its links."""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

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
from flows.one_image.answers import Explanation, LayerFacts, Links
from flows.one_image.memory import Memory
from flows.viewer.answers.rounding import plain
from flows.viewer.model import limits, loading
from flows.viewer.model.answers import Box, Driven, Explained, Linked, Located, Salient, Size
from storage.errors import ImageError, NotFound, Rejected, UsageError
from storage.images.decode import decode
from storage.models import preprocessing
from storage.run import Run, open_run

MOST_BLOCKS = 14
"""Blocks per side that an image is cut into."""

REMEMBERED = 4
"""Images and layers of which all that does not depend on the class is kept: another class costs its gradient."""

DRAFT = {"samples": 4, "steps": 6}
"""Settings of a first map, for the methods that average over many passes."""

_memories: OrderedDict[tuple[str, ...], Memory] = OrderedDict()


def locate(store: str, request: dict[str, Any], data: bytes) -> Located:
    """Return the cells that an image's positions fall in, and the part of the image that the model sees."""
    run = open_run(store, request["run"])
    data = data or _read(run, request["id"])
    width, height = _size(data, request)
    activation = published.activation_of(run, request["layer"], data)
    answer = locating.locate_activation(run, request["layer"], activation.numpy(), request["grid"])
    located = {name: value for name, value in answer.items() if name not in ("run", "version")}
    return cast(Located, located | {"size": (width, height), "seen": visible_part(run, width, height)})


def _read(run: Run, image_id: int) -> bytes:
    """Read an image of the run. Raises NotFound, without its path, where it is gone or has changed."""
    try:
        return model_images.read_image(run, str(image_id))
    except (ImageError, UsageError):
        raise NotFound(f"image {image_id} of {run.name} is no longer what it was when the run was made") from None


def visible_part(run: Run, width: int, height: int) -> Box:
    """Return the part of an image that the model sees: left, top, right, bottom as shares of its width and height."""
    preprocess = preprocessing.from_fingerprint(run.model["preprocessing"])
    geometry = preprocess.geometry(width, height)
    rows, cols = preprocess.size
    across = (geometry.offset_x + 0.5 + geometry.scale_x * np.array([-0.5, cols - 0.5])) / width
    down = (geometry.offset_y + 0.5 + geometry.scale_y * np.array([-0.5, rows - 0.5])) / height
    left, top, right, bottom = (round(float(edge), 5) for edge in (across[0], down[0], across[1], down[1]))
    return left, top, right, bottom


def _size(data: bytes, request: dict[str, Any]) -> Size:
    """Return an image's width and height. Raises UsageError for an unusable upload, NotFound for an image of the run."""
    try:
        return decode(data, max_pixels=limits.PIXELS_MOST).size
    except Rejected as error:
        if request.get("id") is None:
            raise UsageError(f"this image can't be used: {error.detail or error.reason}") from None
        raise NotFound(f"image {request['id']} of {request['run']} can't be used: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageContext(model_context.ModelContext):
    """A model context whose only image is `data`."""

    data: bytes

    def image(self, named: str) -> Image.Image:
        return decode(self.data, max_pixels=limits.PIXELS_MOST)


def explain(store: str, request: dict[str, Any], data: bytes) -> Explained | Salient | Linked:
    """Explain an image at a layer; with `method`, return the saliency of its pixels; with `to`, links to that layer."""
    run = open_run(store, request["run"])
    data = data or _read(run, request["id"])
    width, height = _size(data, request)
    context = ImageContext(model=loading.context(store, request).model, run=run, data=data)
    frame = {"layer": request["layer"], "size": (width, height), "seen": visible_part(run, width, height)}
    if request.get("method"):
        return cast(Salient, frame | _salient(context, request))
    if request.get("to"):
        return cast(Linked, frame | _linked(store, context, request))
    return cast(Explained, frame | _explained(store, context, request))


def _explained(store: str, context: ImageContext, request: dict[str, Any]) -> dict[str, Any]:
    """Return what the layer sees, as plain numbers, cells and units of the atlas."""
    answer = _explain(context, request, _memory(store, context, request))
    shared = {"choices": answer["choices"], "target": answer["target"], "versus": answer["versus"]}
    return shared | _layer(answer["layer"])


def _linked(store: str, context: ImageContext, request: dict[str, Any]) -> dict[str, Any]:
    """Return how each part of the image moves each part of a later layer, and what drives that layer's units."""
    memory = Memory(loading.illustrator(store, request["run"]))
    links = cast(Links, _explain(context, request, memory)["between"])
    drivers: list[Driven] = [
        {
            "unit": int(row["unit"]),
            "drivers": [{"unit": int(d["unit"]), "effect": _plain(d["effect"])} for d in row["drivers"]],
        }
        for row in links["drivers"]
    ]
    return {"to": request["to"], "positions": _plain(links["positions"]), "drivers": drivers}


def _salient(context: ImageContext, request: dict[str, Any]) -> dict[str, Any]:
    """Return how much each visible pixel moves the class's score, scaled to −127 to 127 and stored in bytes."""
    of = None if request["of"] is None else f"class:{request['of'].removeprefix('class:')}"
    settings: dict[str, Any] = DRAFT if request.get("draft") else {}
    answer, _, saliency_map = saliency.explain(context, "the image", of, method=request["method"], **settings)
    strength = np.round(colours.scaled(saliency_map) * 127).astype(np.int8)
    return {
        "method": request["method"],
        "score": plain(answer["score"]),
        "target": answer["target"],
        "signed": METHODS[request["method"]].signed,
        "rows": strength.shape[0],
        "cols": strength.shape[1],
        "map": base64.b64encode(strength.tobytes()).decode(),
    }


def _explain(context: ImageContext, request: dict[str, Any], memory: Memory) -> Explanation:
    question = explaining.Question(
        target=request["of"], versus=request["against"], icons="atlas", cells=MOST_BLOCKS, pictures=False
    )
    return explaining.explain(
        context, "the image", request["layer"], to=request.get("to"), question=question, memory=memory
    )


def _memory(store: str, context: ImageContext, request: dict[str, Any]) -> Memory:
    """Return what is known of an image at a layer, whatever the class."""
    digest = hashlib.blake2b(context.data, digest_size=16).hexdigest()
    key = (store, request["run"], request["layer"], digest)
    memory = _memories.pop(key, None) or Memory(loading.illustrator(store, request["run"]))
    _memories[key] = memory
    while len(_memories) > REMEMBERED:
        _memories.popitem(last=False)
    return memory


def _layer(facts: LayerFacts) -> dict[str, Any]:
    grid: Mapping[str, Any] = facts["grid"]
    groups: Mapping[str, Any] = facts["groups"]
    attribution: Mapping[str, Any] = facts["attribution"]
    return {
        "grid": {name: _plain(grid[name]) for name in GRID if name in grid},
        "groups": {name: _plain(groups[name]) for name in GROUPS if name in groups},
        "attribution": {name: _plain(attribution[name]) for name in ("total", "blocks", "for", "against")},
        "notes": list(facts["notes"]),
    }


GRID = ("rows", "cols", "top", "left", "norm", "side", "units", "values", "relative", "cosine", "cells", "grid")
GROUPS = ("maps", "share", "explained", "attribution", "rest", "units", "weights", "cells", "cosine")


def _plain(value: Any) -> Any:
    """Return a value as plain JSON, with floats rounded."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return plain(value) if isinstance(value, float | np.floating) else value.item() if hasattr(value, "item") else value
