"""Place further vectors among anchors whose places are known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float
from atlas.neighbours import Index, Neighbours

NEAREST = 5
"""Anchors that share in a placement: more draw a point into the empty middle between groups."""


def place(
    index: Index, places: NDArray[np.float64], vectors: Iterator[Float], *, nearest: int = NEAREST
) -> Iterator[NDArray[np.float64]]:
    """Give each chunk `m c` of vectors its places `m 2`: the weighted mean of those of its nearest anchors.

    `places`, `n 2`, are those of the index's rows. A vector equal to an anchor lies exactly on it.
    """
    for chunk in vectors:
        found = index.search(chunk, nearest)
        yield (places[found.rows] * weights(found)[:, :, None]).sum(axis=1)


def weights(found: Neighbours) -> NDArray[np.float64]:
    """Weigh neighbours `m k` by 1 / distance², summing to 1 in each row; those at distance 0 share all of it."""
    squared = found.distances.astype(np.float64) ** 2
    nearest = squared[:, :1]
    # Relative to the nearest, so that tiny distances do not overflow.
    raw = np.divide(nearest, squared, out=(squared == 0).astype(np.float64), where=squared > 0)
    shares: NDArray[np.float64] = raw / raw.sum(axis=1, keepdims=True)
    return shares
