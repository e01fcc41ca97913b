"""Test whether units fire more strongly in a part of a set of images than chance explains.

A unit's values are ranked over the images (Wilcoxon 1945), and a part's statistic is the sum of its images' ranks, in
standard deviations from what an equally large random part has. Chance is measured by permutations of the images, each of
which keeps an image's values together, and by the largest statistic of any unit and part in each (Westfall and Young
1993): the p-values hold for all units and parts together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas import enrichment

Double = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEVEL = 0.01
"""How likely a false alarm is, over all units and parts of a test."""

TIMES = 999
"""Permutations: with these, the least p-value is 0.001."""

TOGETHER = 1 << 22
"""Numbers in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTests:
    """The tests of units against parts, `units parts`.

    `auc` is the share of pairs, of an image in the part and one outside it, in which the unit is stronger in the first
    (ties count half); `score` is the statistic, and only a score above `bound` has a p-value of at most `LEVEL`.
    """

    auc: Double
    score: Double
    p: Double
    bound: float


def split_tests(values: NDArray[np.floating], parts: Flags, times: int = TIMES, seed: int = 0) -> SplitTests:
    """Test units with `values`, `images units`, against parts of the images, `images parts`."""
    ranks = np.apply_along_axis(_centred_ranks, 0, values.astype(np.float64)) if values.size else np.zeros(values.shape)
    sizes = parts.sum(axis=0)
    spread = _spread(ranks, sizes)
    score = _scores(parts.T.astype(np.float64), ranks, spread).T
    largest = _largest_by_chance(parts, ranks, spread, times, seed)
    above = (largest >= score[..., None]).sum(axis=-1)
    pairs = np.maximum(sizes * (len(parts) - sizes), 1)
    return SplitTests(
        auc=0.5 + (ranks.T @ parts) / pairs,
        score=score,
        p=(1 + above) / (times + 1),
        bound=enrichment.bound_of(largest, 1 - LEVEL),
    )


def _centred_ranks(column: Double) -> Double:
    """Return the ranks of values, equal ones sharing the mean of theirs, less the mean rank."""
    _, place, count = np.unique(column, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    mean = (last - (count - 1) / 2)[place]
    return np.asarray(mean - (len(column) + 1) / 2, np.float64)


def _spread(ranks: Double, sizes: NDArray[np.integer]) -> Double:
    """Return the standard deviation of the sum of ranks of a random part of each size, `parts units`."""
    n = len(ranks)
    variance = (ranks**2).sum(axis=0) / max(1, n - 1)
    return np.asarray(np.sqrt((sizes * (n - sizes) / max(1, n))[:, None] * variance), np.float64)


def _scores(parts: Double, ranks: Double, spread: Double) -> Double:
    """Return the statistics of parts `… parts images`; 0 for a unit that is the same in all images."""
    constant = spread <= 1e-9
    return np.where(constant, 0.0, (parts @ ranks) / np.where(constant, 1.0, spread))


def _largest_by_chance(parts: Flags, ranks: Double, spread: Double, times: int, seed: int) -> Double:
    """Return the largest statistic of any unit and part in each permutation of the images."""
    rng, flags = np.random.default_rng(seed), parts.T.astype(np.float64)
    together = max(1, TOGETHER // max(1, flags.size + spread.size))
    largest: list[Double] = []
    for start in range(0, times, together):
        orders = [rng.permutation(len(ranks)) for _ in range(min(together, times - start))]
        moved = np.stack([flags[:, order] for order in orders])
        largest.append(_scores(moved, ranks, spread).max(axis=(1, 2), initial=0.0))
    return np.concatenate(largest)
