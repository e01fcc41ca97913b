"""Find pictures that are nearly the same: a photo that a dataset has twice, compressed again, resized or cropped a little."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Byte
from storage.artefacts import pictures

SIDE = 16
"""Pictures are compared at this size, in colour."""

CORRELATION, DIFFERENCE = 0.95, 0.06
"""Near-duplicates correlate at least so much, and differ by no more, as a root mean square and share of white."""


def leaders(encoded: Sequence[bytes]) -> list[int]:
    """Return for each encoded picture the number of the first that it nearly equals; its own where there is none."""
    return leaders_of([small(pictures.decode(data)) for data in encoded])


def leaders_of(small: Sequence[NDArray[np.float64]]) -> list[int]:
    """Return the same for pictures that are small already."""
    first: list[int] = []
    for number, picture in enumerate(small):
        distinct = [n for n in range(number) if first[n] == n]
        first.append(next((n for n in distinct if alike(small[n], picture)), number))
    return first


def alike(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Tell whether two small pictures are nearly the same. Plain ones, whose correlation is noise, must be equal."""
    if float(np.sqrt(((a - b) ** 2).mean())) > DIFFERENCE:
        return False
    x, y = a - a.mean(), b - b.mean()
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return bool(np.array_equal(a, b)) if length == 0 else float((x * y).sum()) >= CORRELATION * length


def small(pixels: Byte) -> NDArray[np.float64]:
    """Reduce a picture `h w 3` to `SIDE` × `SIDE`, from 0 to 1."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float64) / 255
