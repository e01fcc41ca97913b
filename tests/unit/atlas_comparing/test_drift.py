"""Drift of units against SciPy's rank correlation, overlaps and label mixes against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from atlas.comparing import drift as module
from atlas.comparing.drift import drift, mix_change, overlap, total_variation

RNG = np.random.default_rng


def wrong_units(a: np.ndarray, b: np.ndarray) -> list[int]:
    """Return the units whose drift is not one minus SciPy's correlation."""
    found = drift(a, b)
    expected = [1 - spearmanr(a[:, unit], b[:, unit]).statistic for unit in range(a.shape[1])]
    return [unit for unit, pair in enumerate(zip(found, expected, strict=True)) if abs(pair[0] - pair[1]) > 1e-12]


def tied(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw values of six units in two models, the second half-related, with many ties as after a ReLU6."""
    rng = RNG(seed)
    a = rng.normal(size=(n, 6))
    b = a * [1, 0.5, 0, -1, 1, 2] + rng.normal(size=(n, 6)) * [0, 1, 1, 0, 0.1, 3]
    return np.clip(a, -1, 0.5).astype(np.float32), np.clip(b, -0.3, 1).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 200), st.integers(0, 10**6))
def test_drift_is_one_minus_scipys_correlation(n: int, seed: int) -> None:
    a, b = tied(n, seed)
    varied = (np.ptp(a, axis=0) > 0) & (np.ptp(b, axis=0) > 0)
    assert wrong_units(a[:, varied], b[:, varied]) == []


def test_drift_by_hand() -> None:
    """Order kept by any rising function: 0; reversed: 2; of 1 2 3 against 2 1 3, 1 − (1 − 6·2/24) = 0.5."""
    a = np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]], np.float32)
    b = np.array([[1, -1, 20], [8, -8, 10], [27, -27, 30]], np.float32)
    assert drift(a, b) == pytest.approx([0, 2, 0.5])


def test_constant_units() -> None:
    steady, varied = np.ones((5, 1), np.float32), np.arange(5, dtype=np.float32)[:, None]
    assert drift(steady, varied).tolist() == drift(varied, steady).tolist() == [1.0]
    assert np.isnan(drift(steady, 2 * steady)).all()
    assert np.isnan(drift(varied[:1], varied[:1])).all()
    with pytest.raises(ValueError, match=r"\(5, 1\).*\(4, 1\)"):
        drift(varied, varied[:4])


def test_mutant_ties_ranked_by_their_row_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ranks", lambda values: values.argsort(kind="stable").argsort().astype(float))
    assert wrong_units(*tied(100, 0))


def planted(scrambled: list[int], seed: int = 0) -> list[int]:
    """Return the first units of the drift table where some of 60 were scrambled and all others only shaken."""
    rng = RNG(seed)
    a = np.maximum(rng.normal(size=(300, 60)), 0).astype(np.float32)
    b = a + 0.05 * rng.normal(size=a.shape).astype(np.float32)
    b[:, scrambled] = rng.permuted(a[:, scrambled], axis=0)
    return np.argsort(-drift(a, b))[: len(scrambled)].tolist()


def test_planted_scrambled_units_come_first() -> None:
    assert sorted(planted([3, 17, 41, 42, 59])) == [3, 17, 41, 42, 59]


def test_mutant_drift_of_the_wrong_rows_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = module._ranks
    monkeypatch.setattr(module, "_ranks", lambda values: np.sort(ranks(values)))
    assert sorted(planted([3, 17, 41, 42, 59])) != [3, 17, 41, 42, 59]


def test_overlap_counts_images_wherever_they_stand() -> None:
    a = np.array([[1, 2, 3, 4], [5, 6, -1, -1], [-1] * 4, [1, 2, 3, 4]])
    b = np.array([[4, 3, 9, 8], [6, 5, -1, -1], [-1] * 4, [1, 2, -1, -1]])
    assert overlap(a, b).tolist()[:2] == [0.5, 1.0]
    assert np.isnan(overlap(a, b)[2])
    assert overlap(a, b)[3] == 0.5


def test_label_mixes_by_hand() -> None:
    """Two of three labels 0 and one 1, against one 0 and one 2: half of |2/3 − 1/2| + |1/3 − 0| + |0 − 1/2| is 1/2."""
    changed = mix_change(np.array([[0, 0, 1], [0, 1, -1], [-1] * 3]), np.array([[0, 2, -1], [1, 0, -1], [0, 0, 0]]))
    assert changed[:2] == pytest.approx([0.5, 0])
    assert np.isnan(changed[2])
    assert np.isnan(total_variation(np.zeros((1, 0), np.int64), np.zeros((1, 0), np.int64))).all()
