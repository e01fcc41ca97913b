"""Bring a layout into the unit square, always in the same orientation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float

Plane = NDArray[np.float64]

TAIL = 0.01
"""Share of points at each end of an axis that count as outliers: lucid's 1st and 99th percentile."""

MARGIN = 0.1
"""Width reserved for outliers beyond those percentiles, relative to the width between them, as in lucid."""

EVEN = 0.5
"""Blend between true scale (0) and an equal number of points in every strip of equal width (1)."""


QUANTILES = 65
"""Number of quantiles at which an axis of a new layout is matched to an old one."""


def to_square(drawn: Plane) -> Float:
    """Bring the points `n 2` into the unit square, one axis at a time, preserving their order along it.

    A coordinate becomes the mean of two: its position between the percentiles, and the share of points before it. The
    first is lucid's `normalize_layout`, except that lucid clips outliers to the border, so that those of a whole edge
    share a crowded cell, and here they are compressed into the margin. The second takes room from the gaps between
    groups and gives it to the groups: with few distant groups, the first alone fills 37 of 20 × 20 cells with 10,000
    samples of an early layer, both together 147. Equal coordinates stay equal; an axis of equal coordinates becomes 0.5.
    """
    even = np.stack([shares(axis) for axis in drawn.T], axis=1)
    square: Float = np.clip((1 - EVEN) * _scaled(drawn) + EVEN * even, 0, 1).astype(np.float32)
    return square


def _scaled(drawn: Plane) -> Plane:
    """Scale by the percentiles to 0…1, distance t beyond them (in margins) compressed to t / (1 + t)."""
    low, high = np.quantile(drawn, (TAIL, 1 - TAIL), axis=0)
    flat = high <= low  # nearly all at one coordinate: only the outliers give it width
    low, high = np.where(flat, drawn.min(axis=0), low), np.where(flat, drawn.max(axis=0), high)
    width = high - low
    margin = np.where(width > 0, MARGIN * width, 1.0)
    beyond = np.maximum(drawn - high, 0) / margin - np.maximum(low - drawn, 0) / margin
    squeezed = np.clip(drawn, low, high) - low + margin * beyond / (1 + np.abs(beyond))
    return np.where(width > 0, (squeezed + margin) / (width + 2 * margin), 0.5)


def shares(axis: Plane) -> Plane:
    """Return the share of points before each, counting itself and its equals as half."""
    ordered = np.sort(axis)
    return (np.searchsorted(ordered, axis, "left") + np.searchsorted(ordered, axis, "right")) / (2 * len(axis))


def orient(drawn: Plane, start: Plane) -> Plane:
    """Mirror each axis of `drawn` that is opposed to the same axis of `start`, both `n 2`."""
    shared = ((drawn - drawn.mean(axis=0)) * (start - start.mean(axis=0))).sum(axis=0)
    return drawn * np.where(shared < 0, -1.0, 1.0)


def register(drawn: Plane, onto: Plane, moved: Plane) -> Plane:
    """Transform `moved` by the similarity that brings `drawn` closest to `onto`.

    Least squares over their common rows (Umeyama 1991, reflections allowed). With fewer than two distinct points,
    rotation and scale are undefined, and it is only translated.
    """
    middle, target = drawn.mean(axis=0), onto.mean(axis=0)
    a, b = drawn - middle, onto - target
    u, strength, v = np.linalg.svd(a.T @ b)
    variance = (a * a).sum()
    scale = strength.sum() / variance if variance > 0 else 1.0
    turned: Plane = (moved - middle) @ (u @ v) * (scale if scale > 0 else 1.0) + target
    return turned


def match_quantiles(drawn: Plane, onto: Plane, moved: Plane) -> Plane:
    """Bend each axis of `moved` so that `drawn` gets the quantiles of `onto`, a layout that `to_square` has bent.

    Linear between `QUANTILES` of them; constant beyond the ends.
    """
    levels = np.linspace(0, 1, QUANTILES)
    old, new = np.quantile(drawn, levels, axis=0), np.quantile(onto, levels, axis=0)
    return np.stack([np.interp(m, a, b) for m, a, b in zip(moved.T, old.T, new.T, strict=True)], axis=1)
