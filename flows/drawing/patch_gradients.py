"""Draw the gradients of a unit's patches: those the run has stored, or computed now from its images and model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from atlas.arrays import Byte
from flows.model import images as model_images
from flows.questions.patches import SIDES, Patch, TopPatches
from storage.errors import NotFound, UsageError
from storage.run import Run

METHODS = ("gradient", "guided-backprop", "deconvnet")
SIZE = 144
"""Longer side of a gradient that is computed now, in pixels."""
BATCH = 16


def of_patches(run: Run, answer: TopPatches, method: str | None) -> tuple[str, list[Byte | None]]:
    """Return the method, and a picture of the gradient of each patch in an answer of `patches.top`, None without its image.

    The default method is that of the run's own gradients, or else one that is defined for the layer. On the negative
    side it is the gradient of minus the unit. Raises UsageError where the method is not defined for the layer, NotFound
    where the run has no gradients and all of the images are missing.
    """
    if method not in (None, *METHODS):
        raise UsageError(f"--gradients {method} is not one of {', '.join(METHODS)}")
    method, gradients = _stored(run, answer, method)
    missing = [number for number, picture in enumerate(gradients) if picture is None]
    for start in range(0, len(missing), BATCH):
        numbers = missing[start : start + BATCH]
        patches = [answer["patches"][number] for number in numbers]
        images = model_images.images(run, patches)
        there = [number for number, image in enumerate(images) if image is not None]
        if there:
            method, computed = _compute(run, answer, method, [patches[i] for i in there], [images[i] for i in there])
            for i, picture in zip(there, computed, strict=True):
                gradients[numbers[i]] = picture
    if missing and all(picture is None for picture in gradients):
        raise NotFound(
            f"the images are no longer at {run.version.about['images']}, and {run.name}@{run.number} has no such "
            "gradients; a run made --with gradients keeps those of the nine strongest patches"
        )
    return method or METHODS[0], gradients


def _stored(run: Run, answer: TopPatches, method: str | None) -> tuple[str | None, list[Byte | None]]:
    """Return the method and pictures that the run has stored, by the named method or by any if none is named."""
    nothing: list[Byte | None] = [None] * len(answer["patches"])
    if "where" in answer or answer["sign"] != "positive" or not run.has("gradients", answer["layer"]):
        return method, nothing
    stored = run.gradients(answer["layer"], answer["unit"])
    if method not in (None, stored.method):
        return method, nothing
    by_rank = dict(zip(stored.rank.tolist(), stored.pictures, strict=True))
    return stored.method, [by_rank.get(patch["rank"]) for patch in answer["patches"]]


def _compute(
    run: Run, answer: TopPatches, method: str | None, patches: Sequence[Patch], images: list[Any]
) -> tuple[str, list[Byte]]:
    """Compute the gradients of patches on their images; return the method and the pictures."""
    import torch

    from atlas import boxes
    from atlas.attribution import patch_gradients as maths
    from flows.model import gradient_method, published

    layer, unit = answer["layer"], answer["unit"]
    prepared = published.prepared_model_of(run, layer)
    method = gradient_method.choose(prepared, layer, method)
    preprocess, pictures = prepared.model.preprocess, []
    x = prepared.plain_input(torch.from_numpy(np.stack([preprocess.pixels(image) for image in images])))
    at = torch.tensor([[unit, patch["y"], patch["x"]] for patch in patches], device=prepared.device).unbind(1)
    score = maths.units_at(prepared.layers[layer], at[0], at[1], at[2], answer["sign"])
    for patch, image, gradient in zip(
        patches, images, maths.PATCH_METHODS[method](prepared.module_exposing([layer]), x, score), strict=True
    ):
        box = np.array([patch["focus"][side] for side in SIDES])
        within = boxes.to_input(box[None], [preprocess.geometry(image.width, image.height)])[0]
        pictures.append(
            maths.gradient_picture(maths.cut_box(gradient.cpu().numpy(), within, maths.fitted_size(box, SIZE)))
        )
    return method, pictures
