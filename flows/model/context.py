"""Open the model of a run, or of a spec, for commands that explain or draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from atlas.arrays import Layer
from atlas.model import activations, folding, tokens
from flows.config import DEFAULT_MODEL
from flows.model import fingerprints, prepared, published
from flows.model import images as model_images
from flows.model.choice import Choice
from flows.model.examine import border, examine
from storage import models
from storage.errors import AmbiguousAxes, NotFound, Rejected, UnknownLayer, UsageError
from storage.images.decode import decode
from storage.models import scores, specs
from storage.run import Run, open_run

CHOICES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContext:
    """A model, with the run that it belongs to, if any."""

    model: models.Model
    run: Run | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    """Axes of layers where they are ambiguous, beside those that a run records."""
    listing: str = ""
    """The command that lists the model's layers."""
    notes: tuple[str, ...] = ()
    """Remarks on how the model was taken: its class scores, and what varies."""

    def layers(self, names: Sequence[str] | None = None) -> dict[str, Layer]:
        """Return the named layers, or all with unambiguous axes, in the order of their execution."""
        axes = {**({} if self.run is None else self.run.version.about["config"].get("axes") or {}), **self.axes}
        try:
            wanted = None if names is None else tokens.by_layer(names) | dict.fromkeys(names)
            known = {name: spelled for name, spelled in axes.items() if wanted is None or name in wanted}
            with border(self.model.spec):
                return activations.probe(self.model.module, prepared.example(self.model), names, axes=known)
        except activations.UnknownLayerError as error:
            raise UnknownLayer(f"{error}; `{self.listing}` lists all") from None
        except activations.AmbiguousAxesError as error:
            raise AmbiguousAxes(str(error)) from None

    def folded(self) -> folding.Folded:
        """Return the model with its batch norms folded, on the CPU. Raises ModelError where it cannot be copied."""
        with border(self.model.spec):
            return folding.fold(self.model.module, prepared.example(self.model))

    def choices(self, x: Tensor) -> list[Choice]:
        """Return the model's top classes for one input `1 c h w`, with logit and probability."""
        with torch.no_grad():
            logits = self.model.logits(self.model.module(x))[0].double()
        best = logits.argsort(descending=True, stable=True)[:CHOICES].tolist()
        names, shares = self.model.classes, self.model.probabilities(logits)
        return [
            {
                "index": i,
                "name": names[i] if i < len(names) else "",
                "logit": round(float(logits[i]), 5),
                "probability": None if shares is None else round(float(shares[i]), 6),
            }
            for i in best
        ]

    def image(self, named: str) -> Image.Image:
        """Return an image of the run by its id, or an image file."""
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
    logits: str | None = None,
    allow_varying: bool = False,
) -> ModelContext:
    """Load the model of a run, or of a spec; without either, the default model.

    Raises ModelError where the model has changed since the run.
    """
    if run is not None:
        options: dict[str, object] = {
            "--model": model,
            "--weights": weights,
            "--input-size": input_size,
            "--classes": classes,
        }
        options |= {"--mean": mean, "--std": std, "--logits": logits}
        options |= {"--allow-varying": allow_varying or None}
        specs.check_own_model(run, options)
        version = open_run(store, run)
        config = published.config_of(version, store)
        with published.weights_of(version):
            loaded = prepared.load(config)
        tried = examine(
            loaded, prepared.example(loaded), classes=config.classes, logits=config.logits, allow_varying=True
        )
        notes = tuple(note.replace(f"; {scores.ANOTHER}", "") for note in tried.notes)  # a run has its own scores
        context = ModelContext(model=tried.model, run=version, axes=axes or {}, listing=config.listing, notes=notes)
        check_model(context, version.layers)
        return context
    loaded = models.load(
        model or DEFAULT_MODEL, weights=weights, input_size=input_size, mean=mean, std=std, classes=classes
    )
    tried = examine(loaded, prepared.example(loaded), classes=classes, logits=logits, allow_varying=allow_varying)
    listing = specs.listing(loaded.spec, weights, input_size)
    return ModelContext(model=tried.model, axes=axes or {}, listing=listing, notes=tried.notes)


def check_model(context: ModelContext, layers: Iterable[str]) -> None:
    """Raise ModelError where the model up to one of the run's layers has changed since the run."""
    run, model = context.run, context.model
    named = [] if run is None else [layer for layer in layers if layer in run.layers]
    if run is None or not named:
        return
    with border(model.spec):
        known = fingerprints.of_model(model, prepared.example(model), [*named, ""])
    published.check_fingerprints(run, model.spec, (known.prints, known.traces), named)


def count_classes(model: models.Model) -> int:
    """Return the number of class scores that the model outputs."""
    with torch.no_grad():
        return int(model.logits(model.module(prepared.example(model)[None])).shape[1])
