"""What the drawing commands look at: the model of a run or of a spec, and an image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from atlas.arrays import Layer
from atlas.model import activations, fingerprint
from flows.config import DEFAULT_MODEL
from flows.model import images as model_images
from flows.model import prepared, published
from storage import models
from storage.errors import AmbiguousAxes, ModelError, NotFound, Rejected, UnknownLayer, UsageError
from storage.images.decode import decode
from storage.run import Run, open_run

CHOICES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContext:
    """A model, and the run it is of, if any."""

    model: models.Model
    run: Run | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    """Of layers whose axes can't be told; a run has its own."""

    def layers(self, names: Sequence[str] | None = None) -> dict[str, Layer]:
        """Return the layers named, or all whose axes can be told, in the order in which they finish."""
        axes = self.axes if self.run is None else self.run.version.about["config"].get("axes") or {}
        try:
            known = {name: how for name, how in axes.items() if names is None or name in names}
            return activations.probe(self.model.module, prepared.example(self.model), names, axes=known)
        except activations.UnknownLayerError as error:
            raise UnknownLayer(f"{error}; `actlas layers {self.model.spec}` lists all") from None
        except activations.AmbiguousAxesError as error:
            raise AmbiguousAxes(str(error)) from None

    def choices(self, x: Tensor) -> list[dict[str, Any]]:
        """Return the model's first choices for one input `1 c h w`: class, logit and probability."""
        with torch.no_grad():
            logits = self.model.logits(self.model.module(x))[0].double()
        best = logits.argsort(descending=True, stable=True)[:CHOICES].tolist()
        names, shares = self.model.classes, logits.softmax(0)
        return [
            {
                "index": i,
                "name": names[i] if i < len(names) else "",
                "logit": round(float(logits[i]), 5),
                "probability": round(float(shares[i]), 6),
            }
            for i in best
        ]

    def image(self, named: str) -> Image.Image:
        """Return an image of the run by its id, or the image of a file."""
        try:
            if self.run is not None:
                return decode(model_images.read_image(self.run, named))
            return decode(Path(named).read_bytes())
        except OSError as error:
            raise NotFound(f"{named}: {error.strerror}; give an image file, or --run NAME and an image's id") from None
        except Rejected as error:
            raise UsageError(f"{named} can't be read as an image: {error}") from None


def open_context(
    store: str,
    *,
    run: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    input_size: int | None = None,
    classes: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    axes: Mapping[str, str] | None = None,
) -> ModelContext:
    """Load the model of a run, or of a spec; the default model if neither is named.

    Raises ModelError where the run's model has changed since.
    """
    if run is not None:
        told: dict[str, object] = {
            "--model": model,
            "--weights": weights,
            "--input-size": input_size,
            "--classes": classes,
        }
        told |= {"--mean": mean, "--std": std, "--axes": axes or None}
        if doubled := [name for name, value in told.items() if value is not None]:
            raise UsageError(f"--run {run} has its own model; leave {', '.join(doubled)} out")
        found = open_run(store, run)
        look = ModelContext(model=prepared.load(published.config_of(found, store)), run=found)
        check_model(look, found.layers)
        return look
    loaded = models.load(
        model or DEFAULT_MODEL, weights=weights, input_size=input_size, mean=mean, std=std, classes=classes
    )
    if classes is not None:
        _check_classes(loaded, classes)
    return ModelContext(model=loaded, axes=axes or {})


def check_model(look: ModelContext, layers: Iterable[str]) -> None:
    """Raise ModelError where the model has changed up to one of the run's layers since the run was made."""
    run, model = look.run, look.model
    named = [] if run is None else [layer for layer in layers if layer in run.layers]
    if run is None or not named:
        return
    found = fingerprint.fingerprints(model.module, prepared.example(model), named, model.preprocess.fingerprint())
    for layer in named:
        if found[layer] != run.model["fingerprints"][layer]:
            raise ModelError(
                f"{run.name}@{run.number} was made by another model: {model.spec} has changed up to {layer} since; "
                "run it again, or load the weights it was made with"
            )


def count_classes(model: models.Model) -> int:
    """Return how many scores the model gives."""
    with torch.no_grad():
        return int(model.logits(model.module(prepared.example(model)[None])).shape[1])


def _check_classes(model: models.Model, path: str) -> None:
    if (count := count_classes(model)) != len(model.classes):
        raise UsageError(f"--classes {path} has {len(model.classes)} names, and {model.spec} {count} classes")
