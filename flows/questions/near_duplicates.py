"""Find pictures that are nearly the same: a photo that a dataset has twice, encoded anew, resized or cut a little otherwise."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIDE = 16
"""Pictures are compared at this size, in colour."""

CORRELATION, DIFFERENCE = 0.95, 0.06
"""Near-duplicates correlate at least so much, and differ by no more, as a root mean square and share of white."""


def leaders(encoded: Sequence[bytes]) -> list[int]:
    """Return for each picture the number of the first that it nearly equals; its own where there is none."""
    small = [_small(data) for data in encoded]
    found: list[int] = []
    for number, picture in enumerate(small):
        distinct = [n for n in range(number) if found[n] == n]
        found.append(next((n for n in distinct if alike(small[n], picture)), number))
    return found


def alike(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Tell whether two small pictures are nearly the same. Plain ones, whose correlation is noise, must be equal."""
    if float(np.sqrt(((a - b) ** 2).mean())) > DIFFERENCE:
        return False
    x, y = a - a.mean(), b - b.mean()
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return bool(np.array_equal(a, b)) if length == 0 else float((x * y).sum()) >= CORRELATION * length


def _small(data: bytes) -> NDArray[np.float64]:
    """Decode a picture to `SIDE` × `SIDE`, from 0 to 1."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float64) / 255
