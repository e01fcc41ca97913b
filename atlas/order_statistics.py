"""Exact quantiles of more numbers than memory holds, read twice in parts, by counting the halves of their bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int

HALF = 1 << 16
"""Values of half of a number's bits."""


def quantiles(parts: Callable[[], Iterable[Float]], shares: Sequence[float]) -> NDArray[np.float64]:
    """Return the quantiles of each row, `rows shares`; `parts` yields the columns `rows n` in parts, as often as called.

    NaN is left out; a row of nothing else has NaN. Between two values a quantile is interpolated, as in `numpy.quantile`.
    Memory grows with the rows alone.
    """
    high = _count_high(parts())
    total = high.sum(axis=1)
    place = np.asarray(shares, np.float64) * np.maximum(total - 1, 0)[:, None]
    below = np.floor(place).astype(np.int64)
    ranks = np.concatenate([below, np.minimum(below + 1, np.maximum(total - 1, 0)[:, None])], axis=1)
    values = _values_at(parts(), high, ranks).astype(np.float64)
    low, up = values[:, : len(shares)], values[:, len(shares) :]
    between: NDArray[np.float64] = low + (up - low) * (place - below)
    between[total == 0] = np.nan
    return between


def _count_high(parts: Iterable[Float]) -> Int:
    """Count the upper halves of the numbers of each row, `rows 65536`."""
    counts: Int | None = None
    for values in parts:
        if counts is None:
            counts = np.zeros((len(values), HALF), np.int64)
        row, bits = _bits(values)
        np.add.at(counts, (row, bits >> 16), 1)
    return np.zeros((0, HALF), np.int64) if counts is None else counts


def _values_at(parts: Iterable[Float], high: Int, ranks: Int) -> Float:
    """Return the numbers of these ranks in each row, `rows ranks`, by counting the lower halves beside their upper ones."""
    up_to = np.cumsum(high, axis=1)
    upper = np.stack([np.searchsorted(row, of, side="right") for row, of in zip(up_to, ranks, strict=True)])
    upper = np.minimum(upper, HALF - 1)
    low = np.zeros((*ranks.shape, HALF), np.int32)
    for values in parts:
        row, bits = _bits(values)
        for number in range(ranks.shape[1]):
            same = (bits >> 16) == upper[row, number]
            np.add.at(low, (row[same], number, bits[same] & (HALF - 1)), 1)
    before = np.take_along_axis(up_to - high, upper, axis=1)
    lower = (np.cumsum(low, axis=2, dtype=np.int64) <= (ranks - before)[..., None]).sum(axis=2)
    return _numbers((upper.astype(np.uint32) << np.uint32(16)) | np.minimum(lower, HALF - 1).astype(np.uint32))


def _bits(values: Float) -> tuple[NDArray[np.intp], NDArray[np.uint32]]:
    """Return rows and numbers as integers in the same order, without NaN."""
    row, column = np.nonzero(~np.isnan(values))
    bits = (np.ascontiguousarray(values[row, column], np.float32) + np.float32(0)).view(np.uint32)
    return row, np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _numbers(bits: NDArray[np.uint32]) -> Float:
    """Return the numbers of such integers."""
    return np.where(bits >> 31, bits & np.uint32(0x7FFFFFFF), ~bits).astype(np.uint32).view(np.float32)
