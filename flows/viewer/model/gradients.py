"""What in a unit's patches drives it, for those of which the run keeps no gradient: drawn when they are looked at."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas import boxes
from atlas.arrays import SIGNS
from atlas.attribution import patches as drawing
from flows.model import images as model_images
from flows.model import published
from flows.model.gradient_method import choose
from flows.model.prepared import PreparedModel
from storage.artefacts import patch_gradients, pictures
from storage.artefacts.patches import SIDES
from storage.errors import ImageError, NotFound
from storage.images.decode import decode
from storage.run import Run, open_run

BATCH = 16
SIZE = 72
"""Longer side of a picture, in pixels, where the run has none to go by."""


def gradients(store: str, asked: dict[str, Any], _: bytes) -> dict[str, Any]:
    """Draw the gradient of each of `asked["places"]` whose image is there."""
    run, layer, side = open_run(store, asked["run"]), asked["layer"], asked["side"]
    subj = published.prepared_model_of(run, layer)
    method, size = _method(run, subj, layer), _size(run, layer, asked["unit"])
    there = [(place, *seen) for place in asked["places"] if (seen := _seen(run, subj, place["image_id"])) is not None]
    drawn = []
    for start in range(0, len(there), BATCH):
        batch = there[start : start + BATCH]
        images = subj.plain_input(torch.from_numpy(np.stack([pixels for _, pixels, _ in batch])))
        unit, y, x = (_filled(batch, subj, name, asked) for name in ("unit", "y", "x"))
        score = drawing.units_at(subj.layers[layer], unit, y, x, "negative" if side == "negative" else "positive")
        found = drawing.METHODS[method](subj.module_exposing([layer]), images, score).cpu().numpy()
        drawn += [
            {"number": place["number"], "picture": _picture(gradient, place["focus"], geometry, size)}
            for gradient, (place, _, geometry) in zip(found, batch, strict=True)
        ]
    return {"layer": layer, "unit": asked["unit"], "side": side, "method": method, "gradients": drawn}


def _method(run: Run, subj: PreparedModel, layer: str) -> str:
    if run.has("gradients", layer):
        return patch_gradients.method_of(run.result("gradients", layer))
    return choose(subj, layer, None)


def _size(run: Run, layer: str, unit: int) -> int:
    """Return the longer side of the run's own gradients, or else that of the thumbnails, which gradients lie over."""
    if run.has("gradients", layer):
        return patch_gradients.size_of(run.result("gradients", layer))
    kept = [thumbnail for sign in SIGNS for thumbnail in run.thumbnails(layer, unit, sign) if thumbnail]
    return max(pictures.decode(kept[0]).shape[:2]) if kept else SIZE


def _seen(run: Run, subj: PreparedModel, image_id: int) -> tuple[np.ndarray, Any] | None:
    """Return what the model is given of an image, and where it lies in it; None where it is no longer there."""
    try:
        image = decode(model_images.read_image(run, str(image_id)))
    except (ImageError, NotFound):
        return None
    return subj.model.preprocess.pixels(image), subj.model.preprocess.geometry(*image.size)


def _filled(batch: list[Any], subj: PreparedModel, name: str, asked: dict[str, Any]) -> Tensor:
    values = [asked["unit"] if name == "unit" else place[name] for place, _, _ in batch]
    return torch.tensor(values, dtype=torch.int64, device=subj.device)


def _picture(gradient: np.ndarray, focus: dict[str, int], geometry: Any, size: int) -> str:
    """Return a patch's gradient in the patch's shape, as PNG in base64."""
    box = np.array([focus[side] for side in SIDES], np.int32)
    within = boxes.to_input(box[None], [geometry])[0]
    part = drawing.cut_box(gradient, within, drawing.fitted_size(box, size))
    return base64.b64encode(pictures.encode(drawing.gradient_picture(part), ".png")).decode()
