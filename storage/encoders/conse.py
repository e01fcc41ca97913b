"""Encode images in the space of texts, without pairs of both: by the names of the classes that a classifier sees.

Norouzi et al. 2013, "Zero-Shot Learning by Convex Combination of Semantic Embeddings" (arXiv 1312.5650). Things that are
no class (colours, textures, parts) are seen only as far as classes have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from storage import models
from storage.encoders import names
from storage.encoders.contract import digest, unit

CLASSES = 10
"""Most probable classes that count, as in the paper."""
CLASSIFIER = "efficientnet-lite0"


class TextEncoder(Protocol):
    """Texts to unit vectors."""

    weights: str

    def texts(self, texts: Sequence[str]) -> Tensor: ...


class ConSE:
    """Probabilities of the default model times vectors of its classes' names; texts are vectors of the same encoder."""

    name = names.CONSE

    def __init__(self, classifier: models.Model | None = None, language: TextEncoder | None = None) -> None:
        if language is None:
            from storage.encoders.minilm import MiniLM

            language = MiniLM()
        self._classifier = models.load(CLASSIFIER) if classifier is None else classifier
        self._language = language
        self._names = language.texts([name.replace("_", " ") for name in self._classifier.classes])
        self.side = self._classifier.preprocess.size[0]
        self.weights = digest(self._classifier.module, also=f"{language.weights} {CLASSES} {self._classifier.classes}")

    def images(self, pixels: Tensor) -> Tensor:
        """Return the mean of the names of the most probable classes, weighted by their probability."""
        model = self._classifier
        with torch.inference_mode():
            scores = model.logits(model.module(model.preprocess.normalise(pixels)))
            best, index = scores.softmax(-1).topk(min(CLASSES, scores.shape[-1]))
            return unit((best[..., None] * self._names[index]).sum(1))

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return the texts' own vectors."""
        return self._language.texts(texts)
