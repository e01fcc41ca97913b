"""Locate: run one image through the run's model and find its positions on the atlas."""

from __future__ import annotations

import torch
from torch import Tensor

from flows.config import RunConfig
from flows.model import prepared
from storage.errors import ModelError
from storage.images.decode import decode
from storage.run import Run


def config_of(run: Run, store: str) -> RunConfig:
    """Return the configuration that the version was made with."""
    here = {"images": run.version.about["images"], "store": store, "name": run.name}
    return RunConfig(**(run.version.about["config"] | here))


def prepared_model_of(run: Run, layer: str) -> prepared.PreparedModel:
    """Load the model of a run; raises ModelError if it is not what the run's layer was made by."""
    subj = prepared.prepare(config_of(run, str(run.store.root)))
    if subj.fingerprints[layer] != run.model["fingerprints"][layer]:
        raise ModelError(
            f"{run.name}@{run.number} was made by another model: {subj.model.spec} has changed up to {layer} since; "
            "run it again, or load the weights it was made with"
        )
    return subj


def activation_of(run: Run, layer: str, data: bytes) -> Tensor:
    """Return the activation `c h w` of an encoded image at a layer of the run's model."""
    subj = prepared_model_of(run, layer)
    pixels = torch.from_numpy(subj.model.preprocess.pixels(decode(data)).copy())[None]
    seen: dict[str, Tensor] = {}
    subj.visit(pixels, [layer], lambda name, activation: seen.update({name: activation[0].float().cpu().clone()}))
    return seen[layer]
