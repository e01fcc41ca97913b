"""Plain values that the stages exchange. NumPy only: importing this module loads neither torch nor a file format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Byte = NDArray[np.uint8]

CAPACITY = 64
"""Patches stored per unit and sign; `k` is chosen when reading, up to this many."""

SIGNS = ("positive", "negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer as measured by the probe.

    `axes` is the layout of its raw output: `bchw`, `bhwc`, `btc` (tokens on a grid of `height` × `width` after `prefix`
    tokens without a position), `btc[START:STOP]` (only these tokens, side by side), `btc[START:]` (only these, on the
    grid), or `bc` (one position).
    """

    name: str
    units: int
    height: int
    width: int
    axes: str = "bchw"
    prefix: int = 0

    @property
    def tokens(self) -> tuple[int, int | None]:
        """The first of its tokens, and the one after the last; of axes that are no tokens, everything."""
        if "[" not in self.axes:
            return self.prefix, None
        first, _, stop = self.axes[self.axes.index("[") + 1 : -1].partition(":")
        return int(first), int(stop) if stop else None

    @property
    def placed(self) -> bool:
        """Whether its positions lie in the image; class and register tokens lie nowhere."""
        return self.tokens[1] is None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK:
    """The strongest patches of every unit for one sign, best first: arrays `units k`.

    Values are the activations themselves (the negative side ascends). Empty places have image_id −1 and value −inf
    (+inf on the negative side). The total order is (value best first, key_hash, y, x).
    """

    value: Float
    image_id: Int
    key_hash: NDArray[np.uint64]
    y: NDArray[np.int32]
    x: NDArray[np.int32]

    @classmethod
    def empty(cls, units: int, sign: str, capacity: int = CAPACITY) -> TopK:
        """Return empty places only."""
        shape = (units, capacity)
        return cls(
            value=np.full(shape, -np.inf if sign == "positive" else np.inf, np.float32),
            image_id=np.full(shape, -1, np.int64),
            key_hash=np.full(shape, np.iinfo(np.uint64).max, np.uint64),
            y=np.full(shape, -1, np.int32),
            x=np.full(shape, -1, np.int32),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Sampled activation vectors `n c`, with the image and position of each; y = x = −1 marks a gap."""

    activations: Float
    image_id: Int
    y: NDArray[np.int32]
    x: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """The strongest position of each unit in each image: `image_id n`, `key_hash n`; the others `units signs n`.

    The second axis is that of `SIGNS`. An image without a finite value of a unit has the value NaN there.
    """

    image_id: Int
    key_hash: NDArray[np.uint64]
    value: Float
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
    coherence: Float
    offsets: Int
    members: Int


@dataclass(frozen=True, slots=True, kw_only=True)
class Icons:
    """The icons of a grid's cells with their fidelity.

    `pictures` is `n s s 3`; `cosine` the whitened cosine of the plain icon's mean activation to its cell's mean;
    `rank` from 1 among all cells of the grid; `tries` the number of renderings; `weak` is True if none sufficed;
    `steps` is the number of steps of all renderings together.
    """

    pictures: Byte
    cosine: Float
    rank: Int
    tries: Int
    weak: NDArray[np.bool_]
    steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Maps pixel centres of the model's input to the source image: source = offset + scale · input, per axis."""

    scale_y: float
    scale_x: float
    offset_y: float
    offset_x: float
    height: int
    width: int
    """Size of the source image, for clipping boxes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """First and one-past-last input row that can affect each output row; likewise columns. 0, 0 if none can."""

    top: NDArray[np.int32]
    bottom: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellClasses:
    """The classes that the cells of a grid (`n`) support, from the samples (`m`) used.

    `mean n k` is the mean attribution to every class, in units of its logit; `used` the number of samples used per
    cell; `classes n t` the strongest classes, and `share` the share of those samples whose own strongest class it is.
    `sample_classes m t` and `sample_values m t` are the same for each sample, row `sample` of `run.samples(layer)`.
    """

    mean: Float
    used: Int
    classes: NDArray[np.int32]
    share: Float
    sample: Int
    sample_classes: NDArray[np.int32]
    sample_values: Float
