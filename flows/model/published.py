"""Load the model of a published run again, and run images through it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from flows.config import RunConfig
from flows.model import prepared
from storage.errors import BadWeights, ModelError
from storage.images.decode import decode
from storage.run import Run


def config_of(run: Run, store: str) -> RunConfig:
    """Return the configuration of the version, with this store and the source of its images."""
    here = {"images": run.version.about["images"], "store": store, "name": run.name}
    here["allow_varying"] = True  # what was published is answered
    return RunConfig(**(run.version.about["config"] | here))


@contextmanager
def weights_of(run: Run) -> Iterator[None]:
    """Say what helps where weights are not there: a run has its own, and no option gives it others."""
    try:
        yield
    except BadWeights as error:
        if not error.remedy:
            raise
        remedy = f"put them there again, or run {run.name} again with others"
        raise BadWeights(f"{run.name}@{run.number}: {error.problem}", remedy) from error


def prepared_model_of(run: Run, layer: str) -> prepared.PreparedModel:
    """Load and prepare the model of a run. Raises ModelError where it has changed up to the layer."""
    with weights_of(run):
        model = prepared.prepare(config_of(run, str(run.store.root)))
    check_fingerprints(run, model.model.spec, (model.fingerprints, model.traces), [layer])
    return model


def check_fingerprints(run: Run, spec: str, known: Sequence[Mapping[str, str]], layers: Iterable[str]) -> None:
    """Raise ModelError where the model up to one of these layers of the run has changed since the run.

    `known` are the model's fingerprints, one of which the run recorded: a run of format 1 recorded traces.
    """
    for layer in layers:
        if run.model["fingerprints"][layer] not in {fingerprints[layer] for fingerprints in known}:
            raise ModelError(
                f"{run.name}@{run.number} was made by another model: {spec} has changed up to {layer} since; "
                "run it again, or load the weights it was made with"
            )


def activation_of(run: Run, layer: str, data: bytes) -> Tensor:
    """Return the activation `c h w` of an encoded image at a layer of the run's model."""
    model = prepared_model_of(run, layer)
    pixels = torch.from_numpy(model.model.preprocess.pixels(decode(data)).copy())[None]
    activations: dict[str, Tensor] = {}
    model.visit(
        pixels, [layer], lambda name, activation: activations.update({name: activation[0].float().cpu().clone()})
    )
    return activations[layer]
