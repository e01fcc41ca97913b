"""Bring a drawn layout into the unit square, always the same way round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float

Plane = NDArray[np.float64]

TAIL = 0.01
"""Share of the points on each side of an axis that counts as outliers: lucid's 1st and 99th percentile."""

MARGIN = 0.1
"""Width left beyond those percentiles for the outliers, in parts of the width between them, as lucid has it."""


def to_square(drawn: Plane) -> Float:
    """Scale each axis of `drawn`, `n 2`, so that its points fill 0 to 1.

    Between the percentiles the scale is even, as in lucid's `normalize_layout`. Lucid clips what lies beyond the
    margin onto the border, where outliers from all over an edge share a crowded cell; here distance beyond the
    percentiles is compressed into the margin instead (t → t / (1 + t), in margins), so the order along the axis is
    kept and no place is taken twice. An axis without width becomes 0.5.
    """
    if not len(drawn):
        return np.zeros((0, 2), np.float32)
    low, high = np.quantile(drawn, (TAIL, 1 - TAIL), axis=0)
    flat = high <= low  # nearly all points at one coordinate: the outliers alone make the width
    low, high = np.where(flat, drawn.min(axis=0), low), np.where(flat, drawn.max(axis=0), high)
    width = high - low
    margin = np.where(width > 0, MARGIN * width, 1.0)
    beyond = np.maximum(drawn - high, 0) / margin - np.maximum(low - drawn, 0) / margin
    squeezed = np.clip(drawn, low, high) - low + margin * beyond / (1 + np.abs(beyond))
    even = (squeezed + margin) / (width + 2 * margin)
    return np.clip(np.where(width > 0, even, 0.5), 0, 1).astype(np.float32)


def orient(drawn: Plane, start: Plane) -> Plane:
    """Mirror each axis of `drawn` that runs against the same axis of `start`, both `n 2`."""
    shared = ((drawn - drawn.mean(axis=0)) * (start - start.mean(axis=0))).sum(axis=0)
    return drawn * np.where(shared < 0, -1.0, 1.0)


def register(drawn: Plane, onto: Plane, moved: Plane) -> Plane:
    """Move, turn, mirror and scale `moved` by the one similarity that brings `drawn` closest to `onto`.

    Least squares over the rows that both share (Umeyama 1991, reflections allowed). With fewer than two distinct
    points there is nothing to turn or scale by, and it only moves.
    """
    middle, target = drawn.mean(axis=0), onto.mean(axis=0)
    a, b = drawn - middle, onto - target
    u, strength, v = np.linalg.svd(a.T @ b)
    variance = (a * a).sum()
    scale = strength.sum() / variance if variance > 0 else 1.0
    turned: Plane = (moved - middle) @ (u @ v) * (scale if scale > 0 else 1.0) + target
    return turned
