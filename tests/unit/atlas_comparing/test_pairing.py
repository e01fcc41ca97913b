"""Samples of two runs are paired by image and position, each once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.comparing import pairing
from atlas.comparing.pairing import Places, shared_rows

Row = tuple[int, int, int]
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 1)), max_size=30)
HIGH = 2**63
"""Added to the hashes: they use all 64 bits."""


def places(rows: list[Row]) -> Places:
    columns = np.array(rows, np.int64).reshape(-1, 3)
    return Places(
        key_hash=columns[:, 0].astype(np.uint64) + np.uint64(HIGH),
        y=columns[:, 1].astype(np.int32),
        x=columns[:, 2].astype(np.int32),
    )


def brute(a: list[Row], b: list[Row]) -> list[tuple[int, int]]:
    """Pair each row of `a` with the first equal row of `b` that is not taken."""
    left, pairs = list(enumerate(b)), []
    for i, row in enumerate(a):
        found = next((item for item in left if item[1] == row), None)
        if found is not None:
            left.remove(found)
            pairs.append((i, found[0]))
    return pairs


def as_pairs(a: list[Row], b: list[Row]) -> list[tuple[int, int]]:
    rows, others = shared_rows(places(a), places(b))
    return list(zip(rows.tolist(), others.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS)
def test_pairs_are_those_of_a_search(a: list[Row], b: list[Row]) -> None:
    assert as_pairs(a, b) == brute(a, b)


def test_all_are_paired_with_themselves() -> None:
    rows = [(2, 0, 1), (0, 1, 1), (2, 0, 1), (1, 1, 0)]
    assert as_pairs(rows, rows) == [(i, i) for i in range(4)]
    assert as_pairs([], rows) == as_pairs(rows, []) == []


def test_mutant_repeated_positions_unnumbered_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(0, 0, 0), (0, 0, 0), (1, 0, 0)]
    monkeypatch.setattr(pairing, "_occurrences", lambda places: np.zeros(len(places), np.int64))
    assert as_pairs(rows, rows) != brute(rows, rows)
