"""Tell how large a correlation over the cells of a map is by chance.

Neighbouring cells are alike, so that two maps correlate more often by chance than independent numbers would. The null
therefore shifts and mirrors one map against the other: neighbours stay together, and only their place changes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas import enrichment
from atlas.arrays import Int

Double = NDArray[np.float64]
COMMON = 1 / 3
"""The part of the cells that a shifted map must still share with the other."""


@dataclass(frozen=True, slots=True)
class Chance:
    """What the largest correlation of any map reaches in 95 % of cases: of shifted and mirrored, and of permuted cells.

    Infinite where there are too few ways to move the cells.
    """

    moved: float
    permuted: float


class Maps:
    """Maps `others`, `n k`, over cells with a weight `n`, which one more map is correlated with."""

    def __init__(self, others: NDArray[np.floating], weight: Int, row: Int, col: Int) -> None:
        self.weight = weight / max(1, weight.sum())
        self.others = others - self.weight @ others.astype(np.float64)
        self.moved = self._moments(_moves(row, col))
        self.permuted = self._moments(_permutations(len(row)))

    def _moments(self, source: Int) -> tuple[Int, Double, Double, Double]:
        """Return the source of each cell's value, `ways n`, the weights, and mean and variance of the other maps."""
        weight = np.where(source >= 0, self.weight, 0.0)
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
        mean = weight @ self.others
        return source, weight, mean, weight @ self.others**2 - mean**2

    def chance(self, values: NDArray[np.floating]) -> Chance:
        """Return how large the largest correlation of a map, `n`, with any of the others is by chance."""
        return Chance(*(enrichment.bound_of(self._largest(values, *way)) for way in (self.moved, self.permuted)))

    def _largest(
        self, values: NDArray[np.floating], source: Int, weight: Double, mean: Double, spread: Double
    ) -> Double:
        centred = values - self.weight @ values.astype(np.float64)
        there = weight * centred[source]
        own = there.sum(axis=1, keepdims=True)
        variance = (there * centred[source]).sum(axis=1, keepdims=True) - own**2
        product = np.maximum(variance, 0) * np.maximum(spread, 0)
        constant = product <= 1e-24
        r = (there @ self.others - own * mean) / np.sqrt(np.where(constant, 1.0, product))
        return np.asarray(np.abs(np.where(constant, 0.0, r)).max(axis=1, initial=0.0))


def _moves(row: Int, col: Int) -> Int:
    """Return, for each of up to 200 ways to shift and mirror the map, the cell that comes to lie on each; −1 for none.

    What leaves the map on one side comes back on the other.
    """
    y, x = row - row.min(initial=row.max(initial=0)), col - col.min(initial=col.max(initial=0))
    height, width = int(y.max(initial=0)) + 1, int(x.max(initial=0)) + 1
    place = np.full((height, width), -1, np.int64)
    place[y, x] = np.arange(len(y))
    ways = np.random.default_rng(enrichment.SEED).permutation(np.arange(1, 4 * height * width))
    there = (_moved(place, way)[y, x] for way in ways.tolist())
    enough = (source for source in there if (source >= 0).sum() >= COMMON * len(y))
    chosen = list(itertools.islice(enough, enrichment.TIMES))
    return np.array(chosen, np.int64).reshape(len(chosen), len(y))


def _moved(place: Int, way: int) -> Int:
    """Mirror a map up to twice and shift it; way 0 changes nothing."""
    way, left_right = divmod(way, 2)
    way, up_down = divmod(way, 2)
    mirrored = place[:: -1 if up_down else 1, :: -1 if left_right else 1]
    return np.roll(mirrored, divmod(way, place.shape[1]), (0, 1))


def _permutations(cells: int) -> Int:
    rng = np.random.default_rng(enrichment.SEED)
    return np.array([rng.permutation(cells) for _ in range(enrichment.TIMES)], np.int64)
