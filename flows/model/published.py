"""Locate: run one image through the run's model and find its positions on the atlas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flows.config import RunConfig
from flows.model import prepared
from flows.questions import runs
from storage.errors import ModelError, NotFound, Rejected
from storage.images import sources
from storage.images.decode import decode
from storage.run import Run


def locate(store: str, name: str, layer: str, image: str, grid: int | None) -> dict[str, Any]:
    """Return the cells that the image's positions fall in; the image is a file, or an id of the run."""
    run = runs.open_run(store, name)
    if layer not in run.layers:
        raise NotFound(f"{run.name} has no layer {layer!r}; it has {', '.join(run.layers)}")
    if not run.grids:
        raise NotFound(f"{run.name} has no grids: it has too few samples")
    try:
        activation = activation_of(run, layer, read_image(run, image))
    except Rejected as error:
        raise Rejected(error.reason, f"{error.detail} ({image})") from None
    return runs.locate(run, layer, activation.numpy(), grid or run.grids[-1])


def config_of(run: Run, store: str) -> RunConfig:
    """Return the configuration that the version was made with."""
    here = {"images": run.version.about["images"], "store": store, "name": run.name}
    return RunConfig(**(run.version.about["config"] | here))


def subject_of(run: Run, layer: str) -> prepared.Subject:
    """Load the model of a run; raises ModelError if it is not what the run's layer was made by."""
    subj = prepared.open_subject(config_of(run, str(run.store.root)))
    if subj.fingerprints[layer] != run.model["fingerprints"][layer]:
        raise ModelError(
            f"{run.name}@{run.number} was made by another model: {subj.model.spec} has changed up to {layer} since; "
            "run it again, or load the weights it was made with"
        )
    return subj


def activation_of(run: Run, layer: str, data: bytes) -> Tensor:
    """Return the activation `c h w` of an encoded image at a layer of the run's model."""
    subj = subject_of(run, layer)
    pixels = torch.from_numpy(subj.model.preprocess.pixels(decode(data)).copy())[None]
    seen: dict[str, Tensor] = {}
    subj.visit(pixels, [layer], lambda name, activation: seen.update({name: activation[0].float().cpu().clone()}))
    return seen[layer]


def read_image(run: Run, image: str) -> bytes:
    """Read an image of the run by its id, or a file."""
    if image.isdecimal():
        return _of_run(run, int(image))
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise NotFound(f"{image}: {error.strerror}; give an image file, or the id of an image of the run") from None


def _of_run(run: Run, image_id: int) -> bytes:
    rows = run.listing([image_id])
    if not len(rows):
        raise NotFound(f"{run.name} has no image {image_id}; its ids are 0 to {run.version.about['ids'] - 1}")
    for _, data in sources.read(sources.open_source(run.version.about["images"]), rows):
        if isinstance(data, bytes):
            return data
        raise data
    raise NotFound(f"image {image_id} is no longer at {run.version.about['images']}")
