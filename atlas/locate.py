"""Where further vectors would lie on a layout that is there already."""

from __future__ import annotations

import numpy as np

from atlas.arrays import Float
from atlas.neighbours import Index, one_thread
from atlas.placement import Plan
from atlas.vectors import vectors


def locate(samples: Float, points: Float, further: Float, *, metric: str = "cosine") -> Float:
    """Return places `m 2` in the unit square for vectors `m c`, among the samples `n c` that lie at `points n 2`.

    The rule is the one that places the samples beyond a layout's anchors: the weighted mean of the nearest (FAISS). A
    vector equal to a sample lies exactly on it.
    """
    cosine = metric == "cosine"
    base = np.concatenate(list(vectors(samples, cosine=cosine).chunks()))
    asked = vectors(further, cosine=cosine).chunks()
    with one_thread():
        plan = Plan(index=Index(base), places=points.astype(np.float64))
        placed: Float = np.clip(np.concatenate(list(plan.place(asked))), 0, 1).astype(np.float32)
    return placed
