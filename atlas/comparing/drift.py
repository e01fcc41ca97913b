"""Measure the drift of a layer's units between two models, on the samples they share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int

Double = NDArray[np.float64]


def drift(a: Float, b: Float) -> Double:
    """Compute 1 − Spearman's correlation of each unit's values `n c` in two models: 0 same order, 1 none, 2 reversed.

    Equal values share the mean of their ranks. A unit that is constant in one model only has lost its order: 1. One
    that is constant in both has no order to lose: NaN, as for all units if there are fewer than two samples.
    """
    if a.shape != b.shape:
        raise ValueError(
            f"values of shape {a.shape} cannot be compared with {b.shape}: rows are samples, columns units"
        )
    n, units = a.shape
    result = np.full(units, np.nan)
    if n < 2:
        return result
    for unit in range(units):
        ranks, others = (_ranks(values[:, unit]) - (n - 1) / 2 for values in (a, b))
        sizes = (ranks @ ranks, others @ others)
        if min(sizes) > 0:
            result[unit] = 1 - ranks @ others / np.sqrt(sizes[0] * sizes[1])
        elif max(sizes) > 0:
            result[unit] = 1
    return result


def _ranks(values: NDArray[np.float32]) -> Double:
    """Rank `n` values from 0; equal values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    ranks: Double = (last - (counts - 1) / 2)[group]
    return ranks


def overlap(a: Int, b: Int) -> Double:
    """Compute the share of each unit's strongest images, `u k`, that both lists contain; −1 marks an empty place.

    Relative to the longer list; NaN if both are empty.
    """
    shares = np.full(len(a), np.nan)
    for unit, (mine, theirs) in enumerate(zip(a, b, strict=True)):
        sets = set(mine[mine >= 0].tolist()), set(theirs[theirs >= 0].tolist())
        if any(sets):
            shares[unit] = len(sets[0] & sets[1]) / max(map(len, sets))
    return shares


def mix_change(a: Int, b: Int) -> Double:
    """Compute the total variation, 0 to 1, between the label mixes of two lists `u k`, row by row.

    Labels are numbers from 0; −1 marks an empty place or a missing label and does not count. NaN if a row of either
    list is empty.
    """
    codes = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    changes = np.full(len(a), np.nan)
    for row, pair in enumerate(zip(a, b, strict=True)):
        mixes = [np.bincount(labels[labels >= 0], minlength=codes) for labels in pair]
        if all(mix.sum() for mix in mixes):
            changes[row] = total_variation(*(mix[None] for mix in mixes))[0]
    return changes


def total_variation(a: Int, b: Int) -> Double:
    """Compute half the summed absolute differences between the shares of two counts `n k`; NaN if either is empty."""
    sums = a.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True)
    distances = np.abs(a / np.maximum(sums[0], 1) - b / np.maximum(sums[1], 1)).sum(axis=1) / 2
    empty = (np.minimum(*sums) == 0)[:, 0]
    return np.where(empty, np.nan, distances)
