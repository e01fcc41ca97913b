"""Find the pictures that have a border: plain lines of one colour along two opposite edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Byte

PLAIN, EQUAL = 3.0, 6.0
"""How much the pixels of a plain line may vary, as a standard deviation, and the colours of neighbouring lines differ."""

WIDTH, MOST = 0.02, 0.4
"""How wide a border is, as a share of the picture: a picture that is plain up to its middle has none."""


def bordered(pixels: Byte) -> NDArray[np.bool_]:
    """Tell which pictures `n h w c` have a border."""
    flags = [_opposite(picture) or _opposite(picture.swapaxes(0, 1)) for picture in pixels.astype(np.float32)]
    return np.array(flags, np.bool_)


def _opposite(picture: NDArray[np.float32]) -> bool:
    """Tell whether a picture has a border at its first and at its last rows."""
    mean, variation = picture.mean(axis=1), picture.std(axis=1).max(axis=1)
    return _is_border(mean, variation) and _is_border(mean[::-1], variation[::-1])


def _is_border(mean: NDArray[np.float32], variation: NDArray[np.float32]) -> bool:
    plain = (variation <= PLAIN) & (np.abs(mean - mean[0]).max(axis=1) <= EQUAL)
    width = len(plain) if plain.all() else int(np.argmin(plain))
    return max(1.0, WIDTH * len(plain)) <= width <= MOST * len(plain)
