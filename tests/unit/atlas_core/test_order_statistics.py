"""Quantiles counted by halves of bits are those of all numbers sorted."""

from __future__ import annotations

import numpy as np
import pytest

from atlas import order_statistics

SHARES = (0.0, 0.05, 0.5, 0.95, 0.99, 1.0)


def rows() -> np.ndarray:
    """Return rows of many zeros, of few numbers, of huge and tiny ones, with NaN, and of one number alone."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 4001)).astype(np.float32)
    values[0] = np.maximum(values[0], 0)
    values[1] = rng.integers(-2, 3, 4001)
    values[2] *= np.float32(10) ** rng.integers(-38, 38, 4001)
    values[3, ::3] = np.nan
    values[4, 1:], values[5] = np.nan, -0.0
    return values


def agree(values: np.ndarray, parts: int) -> bool:
    pieces = np.array_split(values, parts, axis=1)
    found = order_statistics.quantiles(lambda: pieces, SHARES)
    expected = np.nanquantile(values.astype(np.float64), SHARES, axis=1).T
    return np.allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("parts", [1, 7])
def test_they_are_those_of_all_numbers_sorted(parts: int) -> None:
    assert agree(rows(), parts)


def test_a_row_without_numbers_has_none() -> None:
    found = order_statistics.quantiles(lambda: [np.full((1, 3), np.nan, np.float32)], SHARES)
    assert np.isnan(found).all()


def test_mutant_numbers_ordered_by_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_statistics, "_bits", lambda values: (np.nonzero(values == values)[0], raw(values)))
    assert not agree(rows()[1:2], 1)


def raw(values: np.ndarray) -> np.ndarray:
    return values[values == values].view(np.uint32)
