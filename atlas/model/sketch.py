"""Sum up a tensor in a few numbers that any change of its values changes, and that are the same on any processor.

A sketch is a set of weighted sums: every element belongs to one of them, with a fixed weight. Rounded to six digits of
the tensor's scale, the sums do not show the rounding errors of float64 (about 1e-14), in which processors differ.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SUMS = 64
_PERIOD = 65_537
"""Weights repeat after this many elements; a prime, so that elements of one sum have equal weights only far apart."""
_STEP = 1e-6
_LEAST_SCALE = 1e-6
"""Values far below this are rounding errors where large numbers cancel."""
_LARGEST = 1e150
"""Values beyond it count as infinite: their squares would be."""
_STABLE = 1e-8
"""Largest change, in parts of the scale, by which two sketches of one tensor may differ."""
_OFFSET = 0.2689414213699951
"""Moves the boundaries of rounding away from simple fractions, on which real activations lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """Weighted sums of a tensor, its root mean square, and what is not finite in it."""

    shape: tuple[int, ...]
    sums: NDArray[np.float64]
    rms: float
    odd: str
    """A hash of the places of NaN and infinite values; empty where there are none."""


def sketch(values: NDArray[np.float64]) -> Sketch:
    """Sketch an array."""
    flat = np.ascontiguousarray(values, np.float64).ravel()
    with np.errstate(invalid="ignore"):
        odd = ~(np.abs(flat) <= _LARGEST)
    if odd.any():
        flat = np.where(odd, 0.0, flat)
    weighted = flat * np.resize(weights(), len(flat))
    padded = np.zeros(math.ceil(len(flat) / SUMS) * SUMS)
    padded[: len(flat)] = weighted
    rows = padded.reshape(-1, SUMS)
    return Sketch(
        shape=values.shape,
        sums=rows.sum(0) / math.sqrt(max(1, len(rows))),
        rms=math.sqrt(float(np.mean(flat * flat))) if len(flat) else 0.0,
        odd=_kinds(values.ravel(), odd) if odd.any() else "",
    )


def close(first: Sketch, second: Sketch, scale: float) -> bool:
    """Whether two sketches of one tensor agree, but for errors far below a step of rounding."""
    if first.shape != second.shape or first.odd != second.odd:
        return False
    difference = first.sums - second.sums
    return math.sqrt(float(np.mean(difference * difference))) <= _STABLE * max(scale, _LEAST_SCALE)


def scale_of(sketches: Sequence[Sketch]) -> float:
    """Return the scale of several tensors: their root mean square."""
    squares = [one.rms * one.rms for one in sketches]
    return max(_LEAST_SCALE, math.sqrt(math.fsum(squares) / max(1, len(squares))))


def numbers(one: Sketch, scale: float) -> list[object]:
    """Return the sums rounded to six digits of the scale, with the shape and the places that are not finite."""
    rounded = np.floor(one.sums / scale / _STEP + _OFFSET).astype(np.int64)
    return [list(one.shape), one.odd, rounded.tolist()]


def rounded_scale(scale: float) -> int:
    """Return six digits of a scale, as a whole number: of its logarithm, since scales are often powers of two."""
    return math.floor(math.log(scale) / _STEP + _OFFSET)


@functools.cache
def weights() -> NDArray[np.float64]:
    """Return the fixed weights: of either sign, 0.5 to 1.5. Raw bits of PCG64 are the same in every version of numpy."""
    bits = np.random.PCG64(0).random_raw(_PERIOD)
    signs = np.where(bits & 1, 1.0, -1.0)
    return np.asarray(((bits >> 12) * 2.0**-52 + 0.5) * signs, np.float64)


def _kinds(flat: NDArray[np.float64], odd: NDArray[np.bool_]) -> str:
    kinds = np.where(odd, np.where(np.isnan(flat), 1, np.where(flat > 0, 2, 3)), 0).astype(np.uint8)
    return hashlib.sha256(kinds.data).hexdigest()
