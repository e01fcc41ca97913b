"""Scores of units that need no encoder: how mixed the labels of its patches are, and how seldom it is active."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Scores = NDArray[np.float64]


def label_entropy(counts: Counts) -> Scores:
    """Return the entropy in bits of each unit's labels, from counts `units labels`; NaN for a unit without any."""
    total = counts.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = counts / total
        bits = -np.where(counts > 0, share * np.log2(share), 0.0).sum(1)
    return np.where(total[:, 0] > 0, np.maximum(bits, 0.0), np.nan)


def label_lift(counts: Counts, images: Counts) -> Scores:
    """Return how many times more often a unit's commonest label is among its patches than among all labelled `images`.

    Of labels that are equally common, the one with the largest lift counts. NaN for a unit without labels.
    """
    total = counts.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = (counts / total) / (images / images.sum())
    first = (counts == counts.max(1, keepdims=True, initial=0)) & (counts > 0)
    return np.where(total[:, 0] > 0, np.where(first, lift, -np.inf).max(1, initial=-np.inf), np.nan)


def sparsity(sum_of_sizes: Scores, sum_of_squares: Scores, samples: int) -> Scores:
    """Return Hoyer's sparsity of each unit over its samples: 0 = always as active, 1 = active in a single sample.

    (√n − ‖a‖₁ / ‖a‖₂) / (√n − 1), Hoyer 2004. NaN for a unit that is never active, or for fewer than two samples.
    """
    if samples < 2:
        return np.full(len(sum_of_sizes), np.nan)
    root = np.sqrt(samples)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = (root - sum_of_sizes / np.sqrt(sum_of_squares)) / (root - 1)
    return np.where(sum_of_squares > 0, np.clip(score, 0.0, 1.0), np.nan)
