"""How far the units of a layer have drifted between two models, by the samples that both saw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int

Double = NDArray[np.float64]


def drift(a: Float, b: Float) -> Double:
    """Compute 1 − Spearman's correlation of each unit's values `n c` in two models: 0 same order, 1 none, 2 reversed.

    Equal values share the mean of their ranks. A unit that is constant in one model only has lost its order: 1. One
    that is constant in both has none to lose: NaN, as for all units where there are fewer than two samples.
    """
    if a.shape != b.shape:
        raise ValueError(
            f"values of shape {a.shape} cannot be compared with {b.shape}: rows are samples, columns units"
        )
    n, units = a.shape
    found = np.full(units, np.nan)
    if n < 2:
        return found
    for unit in range(units):
        ranks, others = (_ranks(values[:, unit]) - (n - 1) / 2 for values in (a, b))
        sizes = (ranks @ ranks, others @ others)
        if min(sizes) > 0:
            found[unit] = 1 - ranks @ others / np.sqrt(sizes[0] * sizes[1])
        elif max(sizes) > 0:
            found[unit] = 1
    return found


def _ranks(values: NDArray[np.float32]) -> Double:
    """Rank `n` values from 0, equal ones by the mean of their places."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    ranks: Double = (last - (counts - 1) / 2)[group]
    return ranks


def overlap(a: Int, b: Int) -> Double:
    """Compute for each unit which share of its strongest images, `u k`, is the same in both; −1 marks an empty place.

    The share is of the longer list; NaN where both are empty.
    """
    shares = np.full(len(a), np.nan)
    for unit, (mine, theirs) in enumerate(zip(a, b, strict=True)):
        sets = set(mine[mine >= 0].tolist()), set(theirs[theirs >= 0].tolist())
        if any(sets):
            shares[unit] = len(sets[0] & sets[1]) / max(map(len, sets))
    return shares


def mix_change(a: Int, b: Int) -> Double:
    """Compute how far apart the label mixes of two lists `u k` are for each row: their total variation, 0 to 1.

    Labels are numbers from 0; −1 marks an empty place or a missing label, which does not count. NaN where a row of
    either list is empty.
    """
    codes = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    changes = np.full(len(a), np.nan)
    for row, pair in enumerate(zip(a, b, strict=True)):
        mixes = [np.bincount(labels[labels >= 0], minlength=codes) for labels in pair]
        if all(mix.sum() for mix in mixes):
            changes[row] = total_variation(*(mix[None] for mix in mixes))[0]
    return changes


def total_variation(a: Int, b: Int) -> Double:
    """Compute half the sum of differences between the shares of two counts `n k`; NaN where either has none."""
    sums = a.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True)
    apart = np.abs(a / np.maximum(sums[0], 1) - b / np.maximum(sums[1], 1)).sum(axis=1) / 2
    none = (np.minimum(*sums) == 0)[:, 0]
    return np.where(none, np.nan, apart)
