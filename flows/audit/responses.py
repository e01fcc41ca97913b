"""Run a class's images through the model: how strong each unit is, what it adds to the class, and what it does when off."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.arrays import Byte, Float, Int
from atlas.attribution.scores import class_logit
from atlas.model import editing
from atlas.model.activations import run_to
from atlas.model.dispatch import slow_attention
from atlas.one_image.contribution import sensitivity
from flows import progress
from flows.ablation.ablate import class_scores
from flows.audit.answers import Effect
from flows.audit.images import BATCH
from flows.model.prepared import PreparedModel
from storage.errors import ModelError

Double = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """Of each unit in each image, `n u`: its strongest value, where that is, and what it adds to the class's score.

    What a unit adds is its value times the score's gradient, summed over positions.
    """

    value: Float
    y: Int
    x: Int
    added: Float


def with_class(model: PreparedModel, layer: str, index: int, pixels: Byte) -> Responses:
    """Return the responses to images of a class. Raises ModelError where the score does not depend on the layer."""
    module, place = model.module_exposing([layer]), model.layers[layer]
    score = class_logit(index, model.model.logits)
    parts: list[Responses] = []
    for x in _batches(model, pixels, f"{layer} with the class"):
        try:
            activation, gradient, _ = sensitivity(module, x, place, score)
        except ValueError as error:
            raise ModelError(f"{layer}: {error}") from None
        value, best = activation.flatten(2).max(dim=2)
        y, across = np.divmod(best.cpu().numpy(), activation.shape[3])
        added = (activation * gradient).sum(dim=(2, 3)).float().cpu().numpy()
        parts.append(Responses(value=value.float().cpu().numpy(), y=y, x=across, added=added))
    return Responses(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Responses.__slots__})


def strongest(model: PreparedModel, layer: str, pixels: Byte) -> Float:
    """Return the strongest value of each unit in images, `n u`."""
    module, place = model.module_exposing([layer]), model.layers[layer]
    values: list[Float] = [np.zeros((0, place.units), np.float32)]

    def visit(_: str, activation: Tensor) -> None:
        values.append(activation.flatten(2).amax(dim=2).float().cpu().numpy())

    with torch.no_grad(), slow_attention():
        for x in _batches(model, pixels, f"{layer} without the class"):
            run_to(module, x, {layer: place}, visit)
    return np.concatenate(values)


def class_scores_of(model: PreparedModel, layer: str, pixels: Byte, unit: int | None = None) -> Double:
    """Return the class scores of images, `n k`, with a unit at zero or with none changed."""
    module, place = model.module_exposing([layer]), model.layers[layer]
    rows = []
    with torch.no_grad(), slow_attention():
        for x in _batches(model, pixels, "class scores" if unit is None else f"without {layer}:{unit}"):
            edit = None if unit is None else editing.scale([unit], 0.0)
            rows.append(class_scores(model, module, place, x, edit))
    return np.concatenate(rows)


def effect(before: Double, after: Double, index: int) -> Effect:
    """Return what becomes of a class in images with scores `n k` before and after."""
    change = (after - before)[:, index]
    first = before.argmax(axis=1) == index
    lost = first & (after.argmax(axis=1) != index)
    error = float(change.std(ddof=1)) / math.sqrt(len(change)) if len(change) > 1 else None
    return Effect(
        images=len(change),
        change=float(change.mean()) if len(change) else 0.0,
        error=error,
        first=int(first.sum()),
        lost=int(lost.sum()),
    )


def _batches(model: PreparedModel, pixels: Byte, name: str) -> Iterator[Tensor]:
    with progress.current().bar(name, len(pixels), "images") as advance:
        for start in range(0, len(pixels), BATCH):
            yield model.plain_input(torch.from_numpy(pixels[start : start + BATCH]))
            advance(min(len(pixels), start + BATCH))
