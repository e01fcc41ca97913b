"""The plain values that stages exchange. Numpy only: importing this module loads neither torch nor a file format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Byte = NDArray[np.uint8]

CAPACITY = 64
"""Patch records kept per unit and sign; `k` is chosen when reading, up to this many."""

SIGNS = ("positive", "negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer as the probe found it.

    `axes` says how its raw output is laid out: `bchw`, `bhwc`, `btc` (tokens on a grid of `height` × `width` after
    `prefix` tokens that have no place), or `bc` (one position).
    """

    name: str
    units: int
    height: int
    width: int
    axes: str = "bchw"
    prefix: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK:
    """The strongest patches of every unit for one sign, best first: arrays `units k`.

    Values are activations as they are (the negative side ascends). Empty places have image_id −1 and value −inf
    (+inf on the negative side). The total order is (value best first, key_hash, y, x).
    """

    value: Float
    image_id: Int
    key_hash: NDArray[np.uint64]
    y: NDArray[np.int32]
    x: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Sampled activation vectors `n c` with the image and position each was taken at; y = x = −1 marks a gap."""

    activations: Float
    image_id: Int
    y: NDArray[np.int32]
    x: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The cells of one grid, in row-major order; members of cell i are `members[offsets[i]:offsets[i+1]]` (sample rows)."""

    grid: int
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    count: Int
    mean: Float
    spread: Float
    offsets: Int
    members: Int


@dataclass(frozen=True, slots=True, kw_only=True)
class Icons:
    """The inverted pictures of a grid's cells with their proof.

    `pictures` is `n s s 3`; `cosine` the whitened cosine of the plain icon's mean activation to its cell's mean;
    `rank` from 1 among all cells of the grid; `tries` how often it was rendered; `weak` where no try sufficed.
    """

    pictures: Byte
    cosine: Float
    rank: Int
    tries: Int
    weak: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Box:
    """A rectangle in pixels of the source image; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where pixel centres of the model's input lie in the source image: source = offset + scale · input, per axis."""

    scale_y: float
    scale_x: float
    offset_y: float
    offset_x: float
    height: int
    width: int
    """Size of the source image, to clip boxes by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """First and one-past-last input row that can change each output row; likewise columns. 0, 0 where none can."""

    top: NDArray[np.int32]
    bottom: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellClasses:
    """What the cells of a grid (`n`) speak for, by the samples (`m`) that were looked at.

    `mean n k` is the mean attribution to every class, in units of its logit; `used` how many samples of the cell were
    looked at; `classes n t` the classes that come first, with `share`, the part of those samples whose own first class
    it is. `sample_classes m t` and `sample_values m t` are those of the samples, which are rows `sample` of
    `run.samples(layer)`.
    """

    mean: Float
    used: Int
    classes: NDArray[np.int32]
    share: Float
    sample: Int
    sample_classes: NDArray[np.int32]
    sample_values: Float
