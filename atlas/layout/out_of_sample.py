"""Place further vectors among anchors whose points are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float
from atlas.layout.neighbours import Index, Neighbours

NEAREST = 15
"""Anchors that vote on a placement."""

POWER = 4
"""A vote weighs 1 / distance^4: between vectors of many dimensions, distances differ little."""

REACH = 0.05
"""Distance on the plane at which two votes still agree, relative to the layout's width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """Anchors, `n c`, with their points `n 2`."""

    index: Index
    places: NDArray[np.float64]
    reach: float = field(init=False)

    def __post_init__(self) -> None:
        low, high = np.quantile(self.places, (0.01, 0.99), axis=0)
        object.__setattr__(self, "reach", REACH * float((high - low).mean()) or 1.0)

    @property
    def nbytes(self) -> int:
        """Bytes of the anchors, including FAISS's copy, and of their points."""
        return 2 * self.index.base.nbytes + self.places.nbytes

    def place(self, vectors: Iterator[Float]) -> Iterator[NDArray[np.float64]]:
        """Yield for each chunk `m c` of vectors its points `m 2`, by the vote of the nearest anchors.

        The mean of their points would put a vector between two groups into the empty middle: on 10,000 photographs
        with 3,000 anchors it gives a trustworthiness of 0.79, the vote 0.91. A vector equal to an anchor lies on it.
        """
        for chunk in vectors:
            neighbours = self.index.search(chunk, NEAREST)
            yield vote(self.places[neighbours.rows], weights(neighbours), self.reach)


def vote(places: NDArray[np.float64], weights: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Choose the candidate point that the others support most, averaged with its supporters: `m k 2` to `m 2`.

    A candidate supports another by its weight times exp(−distance² / 2 reach²). Ties go to the first.
    """
    squared = ((places[:, :, None] - places[:, None]) ** 2).sum(axis=3)
    support = np.exp(-squared / (2 * reach * reach)) * weights[:, None]
    best = support.sum(axis=2).argmax(axis=1)
    shares = support[np.arange(len(places)), best]
    mean: NDArray[np.float64] = (places * shares[:, :, None]).sum(axis=1) / shares.sum(axis=1, keepdims=True)
    return mean


def weights(neighbours: Neighbours) -> NDArray[np.float64]:
    """Weigh neighbours `m k` by distance, 1 for the nearest; if that is at distance 0, those farther count nothing."""
    distances = neighbours.distances.astype(np.float64)
    ratio = np.divide(distances[:, :1], distances, out=(distances == 0).astype(np.float64), where=distances > 0)
    votes: NDArray[np.float64] = ratio**POWER
    return votes
