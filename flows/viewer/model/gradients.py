"""Draw the gradients of a unit's patches that the run does not store, when they are viewed."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas import boxes
from atlas.arrays import SIGNS
from atlas.attribution import patch_gradients as drawing
from flows.model import images as model_images
from flows.model import published
from flows.model.gradient_method import choose
from flows.model.prepared import PreparedModel
from flows.viewer.model.answers import DrawnGradient, DrawnGradients
from storage.artefacts import patch_gradients, pictures
from storage.artefacts.patches import SIDES
from storage.errors import ImageError, NotFound
from storage.images.decode import decode
from storage.run import Run, open_run

BATCH = 16
SIZE = 72
"""Longer side of a picture in pixels, where the run has neither gradients nor thumbnails of the unit."""


def gradients(store: str, request: dict[str, Any], _: bytes) -> DrawnGradients:
    """Draw the gradient of each patch in `request["places"]` whose image can still be read."""
    run, layer, unit, side = open_run(store, request["run"]), request["layer"], request["unit"], request["side"]
    prepared = published.prepared_model_of(run, layer)
    method, size = _method(run, prepared, layer), _size(run, layer, unit)
    inputs = [(place, _input(run, prepared, place["image_id"])) for place in request["places"]]
    readable = [(place, *image) for place, image in inputs if image is not None]
    drawn: list[DrawnGradient] = []
    for start in range(0, len(readable), BATCH):
        batch = readable[start : start + BATCH]
        images = prepared.plain_input(torch.from_numpy(np.stack([pixels for _, pixels, _ in batch])))
        y, x = (_column(batch, prepared, name) for name in ("y", "x"))
        sign = "negative" if side == "negative" else "positive"
        score = drawing.units_at(prepared.layers[layer], torch.full_like(y, unit), y, x, sign)
        batch_gradients = drawing.PATCH_METHODS[method](prepared.module_exposing([layer]), images, score).cpu().numpy()
        drawn += [
            {"number": place["number"], "picture": _picture(gradient, place["focus"], geometry, size)}
            for gradient, (place, _, geometry) in zip(batch_gradients, batch, strict=True)
        ]
    return {"layer": layer, "unit": unit, "side": side, "method": method, "gradients": drawn}


def _method(run: Run, prepared: PreparedModel, layer: str) -> str:
    if run.has("gradients", layer):
        return patch_gradients.method_of(run.result("gradients", layer))
    return choose(prepared, layer, None)


def _size(run: Run, layer: str, unit: int) -> int:
    """Return the longer side of the run's stored gradients, or of the thumbnails that gradients are laid over."""
    if run.has("gradients", layer):
        return patch_gradients.size_of(run.result("gradients", layer))
    thumbnails = [thumbnail for sign in SIGNS for thumbnail in run.thumbnails(layer, unit, sign) if thumbnail]
    return max(pictures.decode(thumbnails[0]).shape[:2]) if thumbnails else SIZE


def _input(run: Run, prepared: PreparedModel, image_id: int) -> tuple[np.ndarray, Any] | None:
    """Return an image's input pixels and their geometry; None where it can no longer be read."""
    try:
        image = decode(model_images.read_image(run, str(image_id)))
    except (ImageError, NotFound):
        return None
    return prepared.model.preprocess.pixels(image), prepared.model.preprocess.geometry(*image.size)


def _column(batch: list[Any], prepared: PreparedModel, name: str) -> Tensor:
    return torch.tensor([place[name] for place, _, _ in batch], dtype=torch.int64, device=prepared.device)


def _picture(gradient: np.ndarray, focus: dict[str, int], geometry: Any, size: int) -> str:
    """Return a patch's gradient, cut to the patch's shape, as PNG in base64."""
    box = np.array([focus[side] for side in SIDES], np.int32)
    within = boxes.to_input(box[None], [geometry])[0]
    part = drawing.cut_box(gradient, within, drawing.fitted_size(box, size))
    return base64.b64encode(pictures.encode(drawing.gradient_picture(part), ".png")).decode()
