"""Compute the second moment of activations, and the maps that whiten them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.inversion.whitened import matrix

Double = NDArray[np.float64]

BLOCK = 4096
"""Vectors added at a time: affects the sum's last bits, and the memory for float64 copies."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The number of vectors so far, and the sum of their outer products `c c`."""

    count: int
    total: Double

    def add(self, activations: NDArray[np.floating]) -> Moment:
        """Add vectors `n c`; raises ValueError if one is not finite."""
        rows = np.asarray(activations, dtype=np.float64)
        if not np.isfinite(rows).all():
            bad = int((~np.isfinite(rows)).any(axis=1).sum())
            raise ValueError(f"{bad} of {len(rows)} activation vectors are not finite; leave them out of the moment")
        return Moment(self.count + len(rows), self.total + rows.T @ rows)

    def mean(self) -> Double:
        """Return the second moment `c c`, uncentred as in the published code; raises ValueError if nothing was added."""
        if self.count == 0:
            raise ValueError("no activation vectors were added; a second moment needs at least one")
        return np.asarray(self.total / self.count)


def empty_moment(units: int) -> Moment:
    """Return the moment of no vectors, for so many units."""
    return Moment(0, np.zeros((units, units)))


def blocks(activations: NDArray[np.floating]) -> Iterator[NDArray[np.floating]]:
    """Cut vectors `n c` into blocks of `BLOCK`, so that their moment does not depend on how they were stored."""
    for first in range(0, len(activations), BLOCK):
        yield activations[first : first + BLOCK]


def second_moment(chunks: Iterable[NDArray[np.floating]], units: int) -> Double:
    """Return the second moment `c c` of vectors that come in chunks `n c`."""
    moment = empty_moment(units)
    for chunk in chunks:
        moment = moment.add(chunk)
    return moment.mean()


def whitener(moment: NDArray[np.floating], epsilon: float) -> Tensor:
    """Return W = (M + ε·mean eigenvalue·I)^(−1/2), `c c`, float32.

    ε bounds the weight of units that never fire, which make M singular.
    """
    return torch.from_numpy(matrix(moment, epsilon)).float()


def inverse(moment: NDArray[np.floating]) -> Tensor:
    """Return S = M^(−1) as in the published code, `c c`, but 0 for directions that never occur, where that fails."""
    return torch.from_numpy(np.linalg.pinv(np.asarray(moment, dtype=np.float64), hermitian=True)).float()
