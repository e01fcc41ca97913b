"""Keep the classes that a model scores highest for each image of a shard; the scores stay where they are computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas import transfers
from atlas.arrays import Int

TOP = 5
"""Most classes kept of each image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The first classes of `n` images, the highest score first, each `n k`: class, logit and probability.

    `there` marks the images that have any: those that were read, and whose scores are all finite. The probability of a
    single score is NaN.
    """

    there: NDArray[np.bool_]
    classes: Int
    logit: NDArray[np.float32]
    probability: NDArray[np.float32]


class FirstChoices:
    """Collects the first classes of a shard's images, batch by batch, on the device of their scores."""

    def __init__(self, images: int, device: torch.device | str = "cpu") -> None:
        self._images, self._device = images, torch.device(device)
        self._there = torch.zeros(images, dtype=torch.bool, device=device)
        self._kept: tuple[Tensor, Tensor, Tensor] | None = None

    def add(self, first: int, scores: Tensor, valid: NDArray[np.bool_]) -> None:
        """Add the scores `b k` of the images from `first` on; rows that are not valid are ignored."""
        count = min(len(scores), self._images - first)
        scores, rows = scores[:count].float(), slice(first, first + count)
        classes, logit, probability = self._tables(scores)
        best = scores.sort(dim=1, descending=True, stable=True)  # stable: of equal scores the lower class is first
        kept = min(TOP, scores.shape[1])
        classes[rows], logit[rows] = best.indices[:, :kept], best.values[:, :kept]
        shares = scores.softmax(1) if scores.shape[1] > 1 else torch.full_like(scores, torch.nan)
        probability[rows] = shares.gather(1, best.indices[:, :kept])
        used = transfers.upload(valid[:count], self._device)
        self._there[rows] = torch.isfinite(scores).all(1) & used

    def _tables(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self._kept is None:
            shape = (self._images, min(TOP, scores.shape[1]))
            kinds = (torch.int64, torch.float32, torch.float32)
            of_class, logit, probability = (torch.zeros(shape, dtype=kind, device=self._device) for kind in kinds)
            self._kept = of_class, logit, probability
        return self._kept

    def finish(self) -> Choices:
        """Return the choices of all images."""
        kept = self._kept or tuple(torch.zeros(self._images, 0, device=self._device) for _ in range(3))
        classes, logit, probability = (table.cpu().numpy() for table in kept)
        there = self._there.cpu().numpy()
        return Choices(there=there, classes=classes.astype(np.int64), logit=logit, probability=probability)
