"""The second moment of activations, and the maps that make all their directions count alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Double = NDArray[np.float64]

BLOCK = 4096
"""Vectors taken in at a time: the sum's last bits depend on it, and the memory of their copies in float64."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What has been seen so far: how many vectors, and the sum of their outer products `c c`."""

    count: int
    total: Double

    def add(self, activations: NDArray[np.floating]) -> Moment:
        """Take in vectors `n c`; raise ValueError where one is not finite."""
        rows = np.asarray(activations, dtype=np.float64)
        if not np.isfinite(rows).all():
            bad = int((~np.isfinite(rows)).any(axis=1).sum())
            raise ValueError(f"{bad} of {len(rows)} activation vectors are not finite; leave them out of the moment")
        return Moment(self.count + len(rows), self.total + rows.T @ rows)

    def mean(self) -> Double:
        """Give the second moment `c c`, uncentred as in the published code; raise ValueError if nothing was added."""
        if self.count == 0:
            raise ValueError("no activation vectors were added; a second moment needs at least one")
        return np.asarray(self.total / self.count)


def nothing(units: int) -> Moment:
    """Start with no vectors of so many units."""
    return Moment(0, np.zeros((units, units)))


def blocks(activations: NDArray[np.floating]) -> Iterator[NDArray[np.floating]]:
    """Cut vectors `n c` into blocks of `BLOCK`, so that their moment does not depend on how they were kept."""
    for first in range(0, len(activations), BLOCK):
        yield activations[first : first + BLOCK]


def second_moment(chunks: Iterable[NDArray[np.floating]], units: int) -> Double:
    """Give the second moment `c c` of vectors that come in chunks `n c`."""
    moment = nothing(units)
    for chunk in chunks:
        moment = moment.add(chunk)
    return moment.mean()


def whitener(moment: NDArray[np.floating], epsilon: float) -> Tensor:
    """Give W = (M + ε·mean eigenvalue·I)^(−1/2), `c c`, float32.

    ε keeps units that never fire, which make M singular, from counting without bound.
    """
    values, vectors = np.linalg.eigh(np.asarray(moment, dtype=np.float64))
    level = values.mean()
    if not level > 0:
        raise ValueError(
            f"the second moment's mean eigenvalue is {level:g}; it must be above 0: did the layer ever fire?"
        )
    root = (values.clip(0) + epsilon * level) ** -0.5
    return torch.from_numpy((vectors * root) @ vectors.T).float()


def inverse(moment: NDArray[np.floating]) -> Tensor:
    """Give S = M^(−1) as the published code has it, `c c`; directions that never occur get 0, where it would fail."""
    return torch.from_numpy(np.linalg.pinv(np.asarray(moment, dtype=np.float64), hermitian=True)).float()
