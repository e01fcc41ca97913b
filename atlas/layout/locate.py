"""Locate further vectors on an existing layout."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from atlas.arrays import Float
from atlas.layout.neighbours import Index, one_thread
from atlas.layout.out_of_sample import Anchors
from atlas.layout.vectors import vectors

__all__ = ["Anchors", "anchors", "locate"]


def anchors(samples: Iterable[Float], points: Float) -> Anchors:
    """Make anchors of samples, which come in chunks `m c` and lie at `points`, `n 2`.

    The samples are stored as unit vectors, so neighbours are by cosine. Raises ValueError if their number differs from
    that of the points.
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
        return Anchors(index=Index(base), places=points.astype(np.float64))


def locate(anchors: Anchors, queries: Float) -> Float:
    """Return points `m 2` in the unit square for vectors `m c`.

    The rule is the one for a layout's samples that are not anchors: the vote of the nearest (FAISS). A vector equal to
    a sample lies exactly on it.
    """
    with one_thread():
        points = np.concatenate(list(anchors.place(vectors(queries, cosine=True).chunks())))
    inside: Float = np.clip(points, 0, 1).astype(np.float32)
    return inside
