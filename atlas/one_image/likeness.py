"""Which of the vectors that there are pictures of is most like another one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int
from atlas.inversion.fidelity import EPSILON, whitened_cosines
from atlas.inversion.whitening import whitener


def nearest(vectors: Float, means: Float, moment: NDArray[np.floating]) -> tuple[Int, Float]:
    """Return for each vector `n c` the row of `means` `m c` that is most like it, and how like: the whitened cosine.

    It is the measure of an icon's proof. Equals go to the first row.
    """
    cosine = whitened_cosines(vectors, means, whitener(moment, EPSILON).numpy())
    best = cosine.argmax(axis=1)
    return best.astype(np.int64), cosine[np.arange(len(best)), best].astype(np.float32)


def strongest(values: NDArray[np.floating], count: int) -> Int:
    """Return the places of the `count` largest of the last axis, best first; equals in their order."""
    return np.argsort(-np.asarray(values, dtype=np.float64), axis=-1, kind="stable")[..., :count].astype(np.int64)


def apart(strength: NDArray[np.floating], count: int, beside: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """Return up to `count` places (row, column) of a map `r q` where it is above 0, strongest first.

    None is next to another, nor to those it is `beside`.
    """
    found: list[tuple[int, int]] = []
    for number in strongest(strength.ravel(), strength.size).tolist():
        row, col = divmod(number, strength.shape[1])
        taken = [*beside, *found]
        if len(found) < count and strength[row, col] > 0 and _far(row, col, taken):
            found.append((row, col))
    return found


def _far(row: int, col: int, places: Sequence[tuple[int, int]]) -> bool:
    return all(max(abs(row - r), abs(col - q)) > 1 for r, q in places)
