"""Convert positions to boxes in input pixels, to whole pixels of the source images, and back, many at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atlas.arrays import Geometry, Layer

NOISE = 1e-6
"""Tolerance that keeps rounding errors from making a box a pixel larger."""


def centre(layer: Layer, y: ArrayLike, x: ArrayLike, input_shape: tuple[int, int]) -> tuple[NDArray[np.float64], ...]:
    """Return the centres of positions, in input pixels from the upper left corner of the input."""
    height, width = input_shape
    if not layer.placed:  # a class or register token sees the image from its middle
        return np.full(np.shape(y), height / 2), np.full(np.shape(x), width / 2)
    return (np.asarray(y) + 0.5) * (height / layer.height), (np.asarray(x) + 0.5) * (width / layer.width)


def focus_box(
    layer: Layer, y: ArrayLike, x: ArrayLike, side: float, input_shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the focus boxes of positions, in input pixels, clipped: `… 4` as left, top, right, bottom."""
    height, width = input_shape
    middle_y, middle_x = centre(layer, y, x, input_shape)
    half = side / 2
    box = np.stack([middle_x - half, middle_y - half, middle_x + half, middle_y + half], axis=-1)
    return np.clip(box, 0, (width, height, width, height))


def to_source(boxes: NDArray[np.float64], geometries: Sequence[Geometry]) -> NDArray[np.int32]:
    """Turn boxes `n 4` of input pixels into boxes of whole pixels of the source images, clipped, at least 1 × 1."""
    scale = np.array([(g.scale_x, g.scale_y, g.scale_x, g.scale_y) for g in geometries]).reshape(-1, 4)
    offset = np.array([(g.offset_x, g.offset_y, g.offset_x, g.offset_y) for g in geometries]).reshape(-1, 4)
    size = np.array([(g.width, g.height) for g in geometries]).reshape(-1, 2)
    # A box of pixels i … j covers i − ½ … j − ½ in the coordinates of pixel centres.
    edges = offset + (boxes - 0.5) * scale + 0.5
    first = np.clip(np.floor(edges[:, :2] + NOISE), 0, size - 1)
    last = np.clip(np.ceil(edges[:, 2:] - NOISE), first + 1, size)
    return np.concatenate([first, last], axis=1).astype(np.int32)


def to_input(boxes: NDArray[np.integer], geometries: Sequence[Geometry]) -> NDArray[np.float64]:
    """Turn boxes `n 4` of pixels of the source images into boxes of input pixels: not clipped, edges between pixels."""
    scale = np.array([(g.scale_x, g.scale_y, g.scale_x, g.scale_y) for g in geometries]).reshape(-1, 4)
    offset = np.array([(g.offset_x, g.offset_y, g.offset_x, g.offset_y) for g in geometries]).reshape(-1, 4)
    edges: NDArray[np.float64] = (boxes - 0.5 - offset) / scale + 0.5
    return edges


SIDES = ("left", "top", "right", "bottom")
