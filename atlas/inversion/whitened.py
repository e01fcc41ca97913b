"""The whitened metric that fidelity is measured in, in numpy alone: cosines after W = (M + ε·mean eigenvalue·I)^(−1/2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int

Double = NDArray[np.float64]

EPSILON = 0.1
"""Regularisation of the whitening that fidelity is measured in, as a share of the mean eigenvalue."""


def matrix(moment: NDArray[np.floating], epsilon: float = EPSILON) -> Double:
    """Return W, `c c`, of a second moment. ε bounds the weight of units that never fire, which make M singular."""
    values, vectors = np.linalg.eigh(np.asarray(moment, dtype=np.float64))
    level = values.mean()
    if not level > 0:
        raise ValueError(
            f"the second moment's mean eigenvalue is {level:g}; it must be above 0: did the layer ever fire?"
        )
    root = (values.clip(0) + epsilon * level) ** -0.5
    return np.asarray((vectors * root) @ vectors.T)


def cosines(left: Float, right: Float, whiten: NDArray[np.floating]) -> Double:
    """Return the cosines `n m` between rows of `n c` and of `m c` in the metric of `whiten`; 0 for zero rows."""
    return directions(left, whiten) @ directions(right, whiten).T


def cosines_to_own(activations: Float, means: Float, own: Int, whiten: NDArray[np.floating]) -> Double:
    """Return the cosine of each row of `n c` to the row of `means` that `own` names, in the metric of `whiten`."""
    left, right = (directions(rows, whiten) for rows in (activations, means))
    return np.asarray((left * right[own]).sum(axis=1))


def directions(rows: Float, whiten: NDArray[np.floating]) -> Double:
    """Return the rows of `n c` in the metric of `whiten`, at length 1; zero rows stay zero."""
    return _unit(rows @ whiten.astype(np.float64))


def _unit(rows: NDArray[np.floating]) -> Double:
    wide = np.asarray(rows, dtype=np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12))
