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
    """Return the values of a column likewise."""
    return [plain(value, digits) for value in values.tolist()]
