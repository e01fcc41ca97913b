"""Compute the effect of each strongest patch of a unit on later units; the run stores only the mean over patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from atlas import influence
from flows.model import images as model_images
from flows.model import published
from flows.model.prepared import PreparedModel
from flows.viewer.answers.rounding import rounded
from flows.viewer.model.answers import Links, PatchPlace
from storage.errors import NotFound, Rejected
from storage.images.decode import decode
from storage.run import Run, open_run


def links(store: str, request: dict[str, Any], _: bytes) -> Links:
    """Return the effect of each strongest patch of a unit on each later unit that it drives most."""
    run, layer, unit = open_run(store, request["run"]), request["layer"], request["unit"]
    record = run.result("influence", layer).record("influence.json")
    later = str(record["later"])
    driven = sorted(set(run.influence(layer, unit)["later_unit"].to_pylist()))
    prepared = published.prepared_model_of(run, later)
    patches, pixels = _patches(run, prepared, layer, unit, int(record["patches"]))
    effects = _effects(prepared, (layer, later), unit, patches, pixels)[:, driven]
    return {
        "layer": layer,
        "unit": unit,
        "later_layer": later,
        "patches": patches,
        "links": [{"unit": v, "effects": rounded(effects[:, i], 4)} for i, v in enumerate(driven)],
    }


def _patches(
    run: Run, prepared: PreparedModel, layer: str, unit: int, most: int
) -> tuple[list[PatchPlace], list[np.ndarray]]:
    """Return the `most` strongest patches with the model's input for each, without those of missing images."""
    patches: list[PatchPlace] = []
    pixels = []
    for patch in run.patches(layer, unit, most).to_pylist():
        if patch["value"] == 0:
            continue
        try:
            image = decode(model_images.read_image(run, str(patch["image_id"])))
        except (Rejected, NotFound):
            continue
        patches.append({"rank": patch["rank"], "image_id": patch["image_id"], "y": patch["y"], "x": patch["x"]})
        pixels.append(prepared.model.preprocess.pixels(image))
    return patches, pixels


def _effects(
    prepared: PreparedModel, names: tuple[str, str], unit: int, patches: list[PatchPlace], pixels: list[np.ndarray]
) -> np.ndarray:
    """Return the effect of each patch on each unit of the later layer, `p v`, in one pass as the stage does."""
    layer, later = (prepared.layers[name] for name in names)
    if not patches:
        return np.zeros((0, later.units))
    y, x = (
        torch.tensor(column, device=prepared.device)
        for column in ([patch["y"] for patch in patches], [patch["x"] for patch in patches])
    )
    images = prepared.plain_input(torch.from_numpy(np.stack(pixels)))
    effects = influence.effects(prepared.module_exposing(names), images, layer, later, torch.full_like(y, unit), y, x)
    return np.asarray(effects.cpu().double().numpy())
