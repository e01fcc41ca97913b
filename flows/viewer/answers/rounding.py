"""Numbers as JSON can carry them, with no more digits than they are worth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

DIGITS = 5


def plain(value: Any, digits: int = DIGITS) -> float | None:
    """Return a float with that many significant digits; None where it is not finite."""
    number = float(value)
    if not math.isfinite(number):
        return None
    return float(f"{number:.{digits}g}")


def rounded(values: np.ndarray, digits: int = DIGITS) -> list[float | None]:
    """Return the values of a column likewise, all at once: there may be many thousands."""
    wide = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(wide)
    size = np.abs(np.where(finite & (wide != 0), wide, 1.0))
    power = np.clip(digits - 1 - np.floor(np.log10(size)), -300, 300)
    # A power of ten below one is no exact number, so it is divided by the one above: 0.3 stays 0.3.
    up, down = 10.0 ** np.maximum(power, 0), 10.0 ** np.maximum(-power, 0)
    short: list[float | None] = (np.round(np.where(finite, wide, 0.0) / down * up) / up * down).tolist()
    return short if finite.all() else [value if good else None for value, good in zip(short, finite, strict=True)]
