"""Gradients of a unit's patches, as pictures: those that the run has, or made now from its images and its model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from atlas.arrays import Byte
from storage.errors import NotFound, UsageError
from storage.run import Run

METHODS = ("gradient", "guided-backprop", "deconvnet")
SIZE = 144
"""Longer side of a gradient that is made now."""
BATCH = 16


def of_patches(
    run: Run, answer: dict[str, Any], method: str | None, images: Sequence[Image.Image | None]
) -> tuple[str, list[Byte | None]]:
    """Return the method, and for each patch that `query.top` gave a picture of its gradient; None where it can't be made.

    `images` are the source images. Without a method, that of the run's own gradients, or else what suits the layer. On
    the negative side it is the gradient of minus the unit. Raises UsageError where the method is not defined for the
    layer, NotFound where the run has no gradients and all of the images are gone.
    """
    if method not in (None, *METHODS):
        raise UsageError(f"--gradients {method} is not one of {', '.join(METHODS)}")
    method, found = _kept(run, answer, method)
    missing = [number for number, picture in enumerate(found) if picture is None]
    readable = [number for number in missing if images[number] is not None]
    if missing and not readable and len(missing) == len(found):
        raise NotFound(
            f"the images are no longer at {run.version.about['images']}, and {run.name}@{run.number} has no such gradients; "
            "a run made --with gradients keeps those of the nine strongest patches"
        )
    if readable or method is None:
        patches = [answer["patches"][number] for number in readable]
        method, made = _made(run, answer, method, patches, [images[number] for number in readable])
        for number, picture in zip(readable, made, strict=True):
            found[number] = picture
    return method, found


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
    from flows import locating
    from flows.stages import gradients

    layer, unit = answer["layer"], answer["unit"]
    subj = locating.subject_of(run, layer)
    method = gradients.choose(subj, layer, method)
    module, preprocess, pictures = subj.through([layer]), subj.model.preprocess, []
    for start in range(0, len(patches), BATCH):
        some, shown = patches[start : start + BATCH], images[start : start + BATCH]
        x = subj.plain_input(torch.from_numpy(np.stack([preprocess.pixels(image) for image in shown])))
        at = torch.tensor([[unit, patch["y"], patch["x"]] for patch in some], device=subj.device).unbind(1)
        score = maths.units_at(subj.layers[layer], at[0], at[1], at[2], answer["sign"])
        for patch, image, found in zip(some, shown, maths.METHODS[method](module, x, score), strict=True):
            box = np.array([patch["focus"][side] for side in ("left", "top", "right", "bottom")])
            within = boxes.to_input(box[None], [preprocess.geometry(image.width, image.height)])[0]
            pictures.append(maths.coloured(maths.cut(found.cpu().numpy(), within, maths.fitted(box, SIZE))))
    return method, pictures
