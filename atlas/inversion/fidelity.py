"""How well the plain icon brings back what it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from atlas.arrays import Byte, Float, Int
from atlas.inversion.render import See

EPSILON = 0.1
"""Of the whitening that proofs are measured with, as a share of the mean eigenvalue."""

RANK_TOLERANCE = 1e-5
"""A cell comes before an icon's own only if its cosine is larger by more than this."""

WEAK_COSINE = 0.2
"""Below it an icon is weak even if its own cell comes first: less than a real patch of a cell has, about 0.25."""


@dataclass(frozen=True, slots=True)
class Proof:
    """For each icon the whitened cosine to its cell's mean, and that cell's rank, from 1, among all of the grid."""

    cosine: Float
    rank: Int

    def weak(self) -> NDArray[np.bool_]:
        """Tell which icons do not stand for their cell."""
        weak: NDArray[np.bool_] = np.logical_or(np.greater(self.rank, 1), np.less(self.cosine, WEAK_COSINE))
        return weak

    def better(self, other: Proof) -> NDArray[np.bool_]:
        """Tell where this one is better than the other: by rank, then by cosine."""
        tied = np.logical_and(np.equal(self.rank, other.rank), np.greater(self.cosine, other.cosine))
        won: NDArray[np.bool_] = np.logical_or(np.less(self.rank, other.rank), tied)
        return won

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Proof:
        """Give the proofs of some rows."""
        return Proof(self.cosine[rows], self.rank[rows])

    def replaced(self, rows: Int, found: Proof) -> Proof:
        """Give these proofs with others put at the rows."""
        cosine, rank = self.cosine.copy(), self.rank.copy()
        cosine[rows], rank[rows] = found.cosine, found.rank
        return Proof(cosine, rank)


def prove(activations: Float, targets: Float, own: Int, whiten: NDArray[np.floating]) -> Proof:
    """Compare activations `n c` with the means of all cells `m c`; `own` says which cell each belongs to."""
    cosine = whitened_cosines(activations, targets, whiten)
    mine = cosine[np.arange(len(own)), own]
    rank = 1 + (cosine > mine[:, None] + RANK_TOLERANCE).sum(axis=1)
    return Proof(mine.astype(np.float32), rank.astype(np.int64))


def whitened_cosines(left: Float, right: Float, whiten: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give cosines `n m` between rows of `n c` and of `m c` in the metric of `whiten`; a zero row has 0 with all."""
    return _unit(left @ whiten.astype(np.float64)) @ _unit(right @ whiten.astype(np.float64)).T


def plain_activations(see: See, layer: str, pictures: Byte, batch: int, device: torch.device) -> Float:
    """Give the layer's activation of each picture `n h w 3` as it is published, averaged over positions: `n c`."""
    found = []
    for chosen in batches(len(pictures), batch):
        shown = torch.from_numpy(pictures[chosen]).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            found.append(see(shown)[layer].mean((2, 3)).cpu().numpy())
    return np.concatenate(found)[: len(pictures)]


def batches(count: int, size: int) -> Iterator[Int]:
    """Cut `count` rows into batches of one size; the last is filled up by repeating its last row."""
    for first in range(0, count, size):
        yield np.minimum(np.arange(first, first + size), count - 1)


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = np.asarray(rows, dtype=np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12))
