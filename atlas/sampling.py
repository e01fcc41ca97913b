"""Choose the position at which an image is sampled, from the seed and the image's key alone.

The position must not change with batch size, shard, order or the other images of the set, or an atlas could not be
compared with that of the next checkpoint. So it is computed by a counter-based hash, not drawn from a stream. Edges are
excluded at both ends if the grid is large enough: the code published with the activation atlas excludes only the first
row and column (`np.random.randint(1, H)`), contrary to its own article.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GOLDEN = 0x9E3779B97F4A7C15


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash 64-bit integers so that each input bit flips about half of the output bits (SplitMix64's finaliser)."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)


def uniform(seed: int, key_hash: NDArray[np.uint64], draw: int) -> NDArray[np.float64]:
    """Return one number in [0, 1) per image; `draw` is the index of the number among those of an image."""
    with np.errstate(over="ignore"):
        counter = mix(np.asarray([seed], dtype=np.int64).view(np.uint64)) + np.uint64(draw)
    return (mix(key_hash ^ mix(counter)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def interior(size: int) -> tuple[int, int]:
    """Return the half-open range of rows (or columns) sampled: all but the edges, or all if there are fewer than 3."""
    return (1, size - 1) if size >= 3 else (0, size)


def positions(
    seed: int, key_hash: NDArray[np.uint64], height: int, width: int, *, sample: int = 0, edges: bool = False
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return rows and columns `n`, `n` on a grid of `height` × `width`, for the `sample`-th vector of each image.

    Layers with different grids are sampled at the same relative position in an image. `edges` are sampled where they are
    none, as of tokens without a place.
    """
    axes = []
    for axis, size in enumerate((height, width)):
        first, stop = (0, size) if edges else interior(size)
        share = uniform(seed, key_hash, 2 * sample + axis)
        axes.append((first + np.floor(share * (stop - first))).astype(np.int32))
    return axes[0], axes[1]
