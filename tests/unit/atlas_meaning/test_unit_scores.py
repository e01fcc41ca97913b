"""Entropy and lift of labels, and sparsity, against hand calculations."""

from __future__ import annotations

import numpy as np
import pytest

from atlas.meaning import unit_scores


def test_entropy_is_that_of_the_shares() -> None:
    counts = np.array([[4, 4, 0], [8, 0, 0], [0, 0, 0], [1, 1, 2]])
    assert unit_scores.label_entropy(counts)[[0, 1, 3]].tolist() == [1.0, 0.0, 1.5]
    assert np.isnan(unit_scores.label_entropy(counts)[2])


def test_lift_is_the_share_of_the_commonest_label_against_all_images() -> None:
    counts, images = np.array([[6, 2, 0], [3, 3, 0], [0, 0, 0]]), np.array([50, 25, 25])
    lift = unit_scores.label_lift(counts, images)
    assert lift[:2].tolist() == [1.5, 2.0]  # 0.75 / 0.5; of the two in the second row, the rarer one
    assert np.isnan(lift[2])


@pytest.mark.parametrize(
    ("values", "expected"), [([3.0, 3.0, 3.0, 3.0], 0.0), ([0, 0, 5.0, 0], 1.0), ([1.0, 1.0, 0, 0], 2 - 2**0.5)]
)
def test_sparsity_is_hoyers(values: list[float], expected: float) -> None:
    array = np.array(values)[:, None]
    score = unit_scores.sparsity(np.abs(array).sum(0), (array**2).sum(0), len(array))
    assert score[0] == pytest.approx(expected, abs=1e-12)


def test_a_unit_that_is_never_active_has_no_sparsity() -> None:
    assert np.isnan(unit_scores.sparsity(np.zeros(2), np.zeros(2), 8)).all()
    assert np.isnan(unit_scores.sparsity(np.ones(1), np.ones(1), 1)).all()
