"""How strongly each of a unit's strongest patches carries its links: of what the run keeps the mean, the parts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from atlas import influence
from flows.model import images as model_images
from flows.model import published
from flows.model.prepared import PreparedModel
from flows.viewer.answers.rounding import rounded
from storage.errors import NotFound, Rejected
from storage.images.decode import decode
from storage.run import Run, open_run


def links(store: str, asked: dict[str, Any], _: bytes) -> dict[str, Any]:
    """Return the effect of each of a unit's strongest patches on each later unit that it drives most."""
    run, layer, unit = open_run(store, asked["run"]), asked["layer"], asked["unit"]
    record = json.loads(run.result("influence", layer).data("influence.json"))
    later = str(record["later"])
    driven = sorted(set(run.influence(layer, unit)["later_unit"].to_pylist()))
    subj = published.prepared_model_of(run, later)
    patches, pixels = _patches(run, subj, layer, unit, int(record["patches"]))
    effects = _effects(subj, (layer, later), unit, patches, pixels)[:, driven]
    return {
        "layer": layer,
        "unit": unit,
        "later_layer": later,
        "patches": [{name: patch[name] for name in ("rank", "image_id", "y", "x")} for patch in patches],
        "links": [{"unit": v, "effects": rounded(effects[:, i], 4)} for i, v in enumerate(driven)],
    }


def _patches(
    run: Run, subj: PreparedModel, layer: str, unit: int, most: int
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Return the `most` strongest patches, with the model's input for each; patches of missing images are left out."""
    patches, pixels = [], []
    for patch in run.patches(layer, unit, most).to_pylist():
        if patch["value"] == 0:
            continue
        try:
            image = decode(model_images.read_image(run, str(patch["image_id"])))
        except (Rejected, NotFound):
            continue
        patches.append(patch)
        pixels.append(subj.model.preprocess.pixels(image))
    return patches, pixels


def _effects(
    subj: PreparedModel, names: tuple[str, str], unit: int, patches: list[dict[str, Any]], pixels: list[np.ndarray]
) -> np.ndarray:
    """Follow one unit from its patches into the later layer, `p v`, in one pass as the stage does."""
    layer, later = (subj.layers[name] for name in names)
    if not patches:
        return np.zeros((0, later.units))
    y, x = (torch.tensor([patch[name] for patch in patches], device=subj.device) for name in ("y", "x"))
    images = subj.plain_input(torch.from_numpy(np.stack(pixels)))
    found = influence.effects(subj.module_exposing(names), images, layer, later, torch.full_like(y, unit), y, x)
    effects: np.ndarray = found.cpu().double().numpy()
    return effects
