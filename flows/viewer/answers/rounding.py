"""Round numbers for JSON to a few significant digits, with None for NaN and infinity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

DIGITS = 5
Number = float | None
"""A number in an answer; None where it is not finite."""


def plain(value: Any, digits: int = DIGITS) -> float | None:
    """Return a float rounded to `digits` significant digits; None where it is not finite."""
    number = float(value)
    if not math.isfinite(number):
        return None
    return float(f"{number:.{digits}g}")


def rounded(values: np.ndarray, digits: int = DIGITS) -> list[float | None]:
    """Return a column rounded likewise, in one pass: there may be many thousands of values."""
    wide = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(wide)
    size = np.abs(np.where(finite & (wide != 0), wide, 1.0))
    power = np.clip(digits - 1 - np.floor(np.log10(size)), -300, 300)
    # Powers of ten below one have no exact floats, so divide by those above one instead: 0.3 stays 0.3.
    up, down = 10.0 ** np.maximum(power, 0), 10.0 ** np.maximum(-power, 0)
    short: list[float | None] = (np.round(np.where(finite, wide, 0.0) / down * up) / up * down).tolist()
    return short if finite.all() else [value if good else None for value, good in zip(short, finite, strict=True)]
