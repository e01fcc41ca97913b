"""What the drawing commands look at: the model of a run or of a spec, and an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from atlas import activations
from atlas.arrays import Layer
from flows import locating, query, subject
from flows.config import DEFAULT_MODEL
from storage import models
from storage.errors import AmbiguousAxes, NotFound, Rejected, UnknownLayer, UsageError
from storage.images.decode import decode
from storage.run import Run

CHOICES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A model, and the run it is of, if any."""

    model: models.Model
    run: Run | None = None

    def layers(self, names: Sequence[str] | None = None) -> dict[str, Layer]:
        """Return the layers named, or all whose axes can be told, in the order in which they finish."""
        axes = dict(self.run.version.about["config"].get("axes") or {}) if self.run is not None else {}
        try:
            known = {name: how for name, how in axes.items() if names is None or name in names}
            return activations.probe(self.model.module, subject.example(self.model), names, axes=known)
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
        if self.run is not None:
            return decode(locating.read_image(self.run, named))
        try:
            return decode(Path(named).read_bytes())
        except OSError as error:
            raise NotFound(f"{named}: {error.strerror}; give an image file, or --run NAME and an image's id") from None
        except Rejected as error:
            raise UsageError(f"{named} can't be read as an image: {error}") from None


def look(
    store: str,
    *,
    run: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    input_size: int | None = None,
    classes: str | None = None,
) -> Look:
    """Load the model of a run, or of a spec; the default model if neither is named."""
    if run is not None:
        told = {"--model": model, "--weights": weights, "--input-size": input_size, "--classes": classes}
        if doubled := [name for name, value in told.items() if value is not None]:
            raise UsageError(f"--run {run} has its own model; leave {', '.join(doubled)} out")
        found = query.open_run(store, run)
        return Look(model=subject.load(locating.config_of(found, store)), run=found)
    loaded = models.load(model or DEFAULT_MODEL, weights=weights, input_size=input_size, classes=classes)
    return Look(model=loaded)


def check_out(path: str, option: str = "--out") -> Path:
    """Return where a PNG is to go; raises UsageError before anything is computed where it can't."""
    out = Path(path)
    if out.suffix.lower() != ".png":
        raise UsageError(f"{option} {path}: pictures are written as PNG; let the name end in .png")
    if not out.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {out.parent}")
    return out
