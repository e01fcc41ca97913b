"""Numbers as the viewer sends them: a column at once is what each of it is alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.viewer.answers import rounding
from flows.viewer.answers.rounding import plain, rounded

SIZES = st.floats(1e-15, 1e15) | st.integers(1, 9_999_999).map(lambda n: n / 1000)
VALUES = st.lists(SIZES | SIZES.map(lambda value: -value) | st.sampled_from([0.0, math.nan, math.inf]), max_size=30)
"""Powers of ten are exact up to 10²²; beyond, a number may have more digits than it was asked to."""


def alike(column: list[float], digits: int) -> bool:
    """Tell whether each number is short, as near as it can be, and None where it is not finite."""
    for value, short in zip(column, rounding.rounded(np.array(column, np.float64), digits), strict=True):
        if not math.isfinite(value) or short is None:
            if short is not None or math.isfinite(value):
                return False
        elif plain(short, digits) != short or not math.isclose(short, value, rel_tol=0.50001 * 10 ** (1 - digits)):
            return False
    return True


@given(VALUES, st.integers(2, 6))
def test_a_column_is_rounded_like_one_number(column: list[float], digits: int) -> None:
    assert alike(column, digits)


def test_by_hand() -> None:
    given = np.array([0.0, -0.123456789, 123456.7, 3.0000001, np.nan, np.inf, 1e-30, 0.3])
    assert rounded(given) == [0.0, -0.12346, 123460.0, 3.0, None, None, 1e-30, 0.3]
    assert rounded(np.array([1.5, 2.5], np.float32)) == [1.5, 2.5]


def test_mutant_powers_of_ten_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Multiplied by 0.00001 instead of divided by 100000, numbers are long again."""

    def careless(values: np.ndarray, digits: int = 5) -> list[float | None]:
        power = digits - 1 - np.floor(np.log10(np.abs(values)))
        found: list[float | None] = (np.round(values * 10.0**power) * 10.0**-power).tolist()
        return found

    column = (np.arange(1, 200) / 7).tolist()
    assert alike(column, 5)
    monkeypatch.setattr(rounding, "rounded", careless)
    assert not alike(column, 5)
