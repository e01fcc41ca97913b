"""Gradients of a unit's patches, as pictures: those that the run has, or made now from its images and its model."""

from __future__ import annotations

from typing import Any

import numpy as np

from atlas.arrays import Byte
from flows.model import images as model_images
from storage.errors import NotFound, UsageError
from storage.run import Run

METHODS = ("gradient", "guided-backprop", "deconvnet")
SIZE = 144
"""Longer side of a gradient that is made now."""
BATCH = 16


def of_patches(run: Run, answer: dict[str, Any], method: str | None) -> tuple[str, list[Byte | None]]:
    """Return the method, and for each patch that `query.top` gave a picture of its gradient; None where it can't be made.

    Without a method, that of the run's own gradients, or else what suits the layer. On the negative side it is the
    gradient of minus the unit. Raises UsageError where the method is not defined for the layer, NotFound where the run
    has no gradients and all of the images are gone.
    """
    if method not in (None, *METHODS):
        raise UsageError(f"--gradients {method} is not one of {', '.join(METHODS)}")
    method, found = _kept(run, answer, method)
    missing = [number for number, picture in enumerate(found) if picture is None]
    for start in range(0, len(missing), BATCH):
        numbers = missing[start : start + BATCH]
        patches = [answer["patches"][number] for number in numbers]
        images = model_images.images(run, patches)
        there = [number for number, image in enumerate(images) if image is not None]
        if there:
            method, made = _made(run, answer, method, [patches[i] for i in there], [images[i] for i in there])
            for i, picture in zip(there, made, strict=True):
                found[numbers[i]] = picture
    if missing and all(picture is None for picture in found):
        raise NotFound(
            f"the images are no longer at {run.version.about['images']}, and {run.name}@{run.number} has no such "
            "gradients; a run made --with gradients keeps those of the nine strongest patches"
        )
    return method or METHODS[0], found


def _kept(run: Run, answer: dict[str, Any], method: str | None) -> tuple[str | None, list[Byte | None]]:
    """Return the pictures that the run has, if it has any by this method (or by some method, if none is named)."""
    nothing: list[Byte | None] = [None] * len(answer["patches"])
    if answer["sign"] != "positive" or not run.has("gradients", answer["layer"]):
        return method, nothing
    stored = run.gradients(answer["layer"], answer["unit"])
    if method not in (None, stored.method):
        return method, nothing
    by_rank = dict(zip(stored.rank.tolist(), stored.pictures, strict=True))
    return stored.method, [by_rank.get(patch["rank"]) for patch in answer["patches"]]


def _made(
    run: Run, answer: dict[str, Any], method: str | None, patches: list[dict[str, Any]], images: list[Any]
) -> tuple[str, list[Byte]]:
    import torch

    from atlas import boxes
    from atlas.attribution import patches as maths
    from flows.model import gradient_method, published

    layer, unit = answer["layer"], answer["unit"]
    subj = published.prepared_model_of(run, layer)
    method = gradient_method.choose(subj, layer, method)
    preprocess, pictures = subj.model.preprocess, []
    x = subj.plain_input(torch.from_numpy(np.stack([preprocess.pixels(image) for image in images])))
    at = torch.tensor([[unit, patch["y"], patch["x"]] for patch in patches], device=subj.device).unbind(1)
    score = maths.units_at(subj.layers[layer], at[0], at[1], at[2], answer["sign"])
    for patch, image, found in zip(
        patches, images, maths.METHODS[method](subj.module_exposing([layer]), x, score), strict=True
    ):
        box = np.array([patch["focus"][side] for side in ("left", "top", "right", "bottom")])
        within = boxes.to_input(box[None], [preprocess.geometry(image.width, image.height)])[0]
        pictures.append(maths.coloured(maths.cut(found.cpu().numpy(), within, maths.fitted(box, SIZE))))
    return method, pictures
