"""Find the vector most similar to another among those that have pictures; pick the strongest positions of a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int
from atlas.inversion.whitened import EPSILON, cosines
from atlas.inversion.whitening import whitener


def nearest(vectors: Float, means: Float, moment: NDArray[np.floating]) -> tuple[Int, Float]:
    """Return for each vector `n c` the most similar row of `means` `m c`, and the similarity: the whitened cosine.

    It is the measure of an icon's fidelity. Ties go to the first row.
    """
    cosine = cosines(vectors, means, whitener(moment, EPSILON).numpy())
    best = cosine.argmax(axis=1)
    return best.astype(np.int64), cosine[np.arange(len(best)), best].astype(np.float32)


def strongest(values: NDArray[np.floating], count: int) -> Int:
    """Return the indices of the `count` largest values along the last axis, best first; ties in order."""
    return np.argsort(-np.asarray(values, dtype=np.float64), axis=-1, kind="stable")[..., :count].astype(np.int64)


def separate_peaks(
    strength: NDArray[np.floating], count: int, avoid: Sequence[tuple[int, int]] = ()
) -> list[tuple[int, int]]:
    """Return up to `count` positions (row, column) of a map `r q` where it is above 0, strongest first.

    No two are adjacent, and none is adjacent to a position in `avoid`.
    """
    peaks: list[tuple[int, int]] = []
    for number in strongest(strength.ravel(), strength.size).tolist():
        row, col = divmod(number, strength.shape[1])
        taken = [*avoid, *peaks]
        if len(peaks) < count and strength[row, col] > 0 and _far(row, col, taken):
            peaks.append((row, col))
    return peaks


def _far(row: int, col: int, places: Sequence[tuple[int, int]]) -> bool:
    return all(max(abs(row - r), abs(col - q)) > 1 for r, q in places)
