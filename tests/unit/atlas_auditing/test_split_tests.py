"""Tests of units against parts of images: pairs by brute force, the textbook's statistic, and the level over all tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from atlas.auditing import split_tests as tested
from atlas.auditing.split_tests import LEVEL, split_tests

AUDITS = 150


def images(seed: int, count: int = 40, units: int = 12, parts: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return values and parts that know nothing of each other; a third of the values are 0, as of rectified units."""
    rng = np.random.default_rng(seed)
    values = np.maximum(rng.normal(0.4, 1, (count, units)) + rng.normal(0, 1, (count, 1)), 0)
    return values, rng.random((count, parts)) < rng.uniform(0.2, 0.6, parts)


def test_areas_are_shares_of_pairs_and_scores_those_of_the_textbook() -> None:
    values, parts = images(3)
    found = split_tests(values, parts, times=9)
    for unit in range(values.shape[1]):
        for part in range(parts.shape[1]):
            inside, outside = values[parts[:, part], unit], values[~parts[:, part], unit]
            pairs = [(a > b) + (a == b) / 2 for a in inside for b in outside]
            assert found.auc[unit, part] == pytest.approx(np.mean(pairs))
            textbook = stats.mannwhitneyu(
                inside, outside, use_continuity=False, alternative="greater", method="asymptotic"
            )
            assert stats.norm.sf(found.score[unit, part]) == pytest.approx(textbook.pvalue, rel=1e-9)


def test_a_unit_that_never_changes_is_never_stronger() -> None:
    values, parts = images(0)
    values[:, 2] = 5.0
    found = split_tests(values, parts, times=99)
    assert (found.auc[2] == 0.5).all()
    assert (found.p[2] == 1).all()


@pytest.mark.parametrize(("units", "parts"), [(0, 3), (5, 0)])
def test_nothing_to_test_gives_no_row(units: int, parts: int) -> None:
    found = split_tests(np.zeros((30, units)), np.zeros((30, parts), np.bool_), times=99)
    assert found.p.shape == found.auc.shape == (units, parts)


def test_p_and_bound_say_the_same() -> None:
    values, parts = images(1)
    values[parts[:, 1], 4] += 4
    found = split_tests(values, parts, times=999)
    assert ((found.p <= LEVEL) == (found.score > found.bound)).all()
    assert found.p[4, 1] == 1 / 1000


def alarms(copies: int = 1) -> int:
    """Count the audits of images without any relation that raise an alarm; each image stands there `copies` times."""
    raised = 0
    for seed in range(AUDITS):
        values, parts = images(seed, count=40 // copies)
        values, parts = (np.repeat(array, copies, axis=0) for array in (values, parts))
        raised += bool((split_tests(values, parts, times=199, seed=seed).p <= LEVEL).any())
    return raised


def most(level: float = LEVEL) -> int:
    """Return how many alarms are raised at a level in all but one of ten thousand suites."""
    return int(stats.binom.ppf(0.9999, AUDITS, level))


def test_false_alarms_are_one_in_a_hundred_over_all_units_and_parts() -> None:
    assert alarms() <= most()


def test_mutant_samples_that_are_permuted_for_images_are_seen() -> None:
    assert alarms(copies=2) > most()


def test_mutant_a_bound_of_each_test_by_itself_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = tested._largest_by_chance

    def of_the_first(parts: np.ndarray, ranks: np.ndarray, spread: np.ndarray, times: int, seed: int) -> np.ndarray:
        return largest(parts[:, :1], ranks[:, :1], spread[:1, :1], times, seed)

    monkeypatch.setattr(tested, "_largest_by_chance", of_the_first)
    assert alarms() > most()


def test_mutant_shuffled_parts_lose_what_was_planted() -> None:
    values, parts = images(1)
    values[parts[:, 1], 4] += 4
    shuffled = np.random.default_rng(0).permutation(parts)
    assert (split_tests(values, parts).p <= LEVEL).any()
    assert not (split_tests(values, shuffled).p <= LEVEL).any()
