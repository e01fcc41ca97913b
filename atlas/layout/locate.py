"""Where further vectors would lie on a layout that is there already."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from atlas.arrays import Float
from atlas.layout.neighbours import Index, one_thread
from atlas.layout.out_of_sample import Plan
from atlas.layout.vectors import vectors

__all__ = ["Plan", "locate", "plan"]


def plan(samples: Iterable[Float], points: Float) -> Plan:
    """Prepare to place vectors among samples, which come in chunks `m c` and lie at `points`, `n 2`.

    The samples are held as unit vectors: nearness is the cosine's. Raises ValueError where they are not as many as the
    points.
    """
    base, filled = np.zeros((0, 0), np.float32), 0
    for chunk in samples:
        if not base.size:
            base = np.empty((len(points), chunk.shape[1]), np.float32)
        for part in vectors(chunk, cosine=True).chunks():
            if filled + len(part) > len(points):
                raise ValueError(f"more samples than the layout's {len(points)} points")
            base[filled : filled + len(part)] = part
            filled += len(part)
    if filled != len(points):
        raise ValueError(f"{filled} samples for a layout of {len(points)} points")
    with one_thread():
        return Plan(index=Index(base), places=points.astype(np.float64))


def locate(among: Plan, further: Float) -> Float:
    """Return places `m 2` in the unit square for vectors `m c`.

    The rule is the one that places the samples beyond a layout's anchors: the vote of the nearest (FAISS). A vector
    equal to a sample lies exactly on it.
    """
    with one_thread():
        placed = np.concatenate(list(among.place(vectors(further, cosine=True).chunks())))
    inside: Float = np.clip(placed, 0, 1).astype(np.float32)
    return inside
