"""Tests of two sets of images: against SciPy's exact tests and intervals, and on images whose samples are alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import csr_matrix

from atlas.comparing import two_samples
from atlas.comparing.two_samples import beyond_chance, permutation_test, ratios, shifts

RNG = np.random.default_rng


def two_sets(n: int, m: int, columns: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw values of n and m images: the first column shifts, the others do not; the last is mostly 0."""
    values = RNG(seed).exponential(size=(n + m, columns))
    values[n:, 0] += 0.7
    values[:, -1] *= RNG(seed + 1).random(n + m) < 0.2
    return values, np.repeat([False, True], [n, m])


def exact(values: np.ndarray, second: np.ndarray) -> list[float]:
    """Return the p-value of each column by SciPy, over all relabellings."""

    def difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.abs(b.mean(axis=axis) - a.mean(axis=axis))

    found = []
    for column in values.T:
        sets = (column[~second], column[second])
        test = stats.permutation_test(sets, difference, vectorized=True, n_resamples=np.inf, alternative="greater")
        found.append(test.pvalue)
    return found


@pytest.mark.parametrize("sparse", [False, True])
def test_p_values_are_those_of_all_relabellings(sparse: bool) -> None:
    values, second = two_sets(6, 5)
    part = permutation_test([csr_matrix(values) if sparse else values], second, permutations=20_000).parts[0]
    assert part.columns == pytest.approx(exact(values, second), abs=0.012)


def test_a_constant_column_does_not_differ() -> None:
    values, second = two_sets(6, 5)
    values[:, 1] = 0.1  # its sums differ in the last bits
    test = permutation_test([values], second, permutations=500)
    assert test.parts[0].columns[1] == 1
    assert permutation_test([values[:, 1:2]], second, permutations=500).p == 1


def test_a_part_is_judged_by_its_standardised_squares() -> None:
    values, second = two_sets(6, 5)

    def size(a: np.ndarray, b: np.ndarray) -> float:
        return float((((b.mean(axis=0) - a.mean(axis=0)) / values.std(axis=0)) ** 2).mean())

    orders = RNG(3).permuted(np.tile(second, (4000, 1)), axis=1)
    drawn = np.array([size(values[~order], values[order]) for order in orders])
    expected = (drawn >= size(values[~second], values[second]) - 1e-12).mean()
    assert permutation_test([values], second, permutations=20_000).parts[0].p == pytest.approx(expected, abs=0.03)


def test_all_parts_together_are_as_rare_as_the_smallest() -> None:
    null = [
        permutation_test([*two_parts(seed)], np.repeat([False, True], 15), permutations=99).p for seed in range(120)
    ]
    assert stats.kstest(np.array(null) - RNG(0).random(120) / 100, "uniform").pvalue > 0.01
    smallest = [
        min(
            part.p for part in permutation_test([*two_parts(seed)], np.repeat([False, True], 15), permutations=99).parts
        )
        for seed in range(120)
    ]
    assert stats.kstest(smallest, "uniform").pvalue < 0.001  # the smallest of two alone is not a p-value


def two_parts(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return RNG(seed).normal(size=(30, 4)), RNG(seed + 1000).exponential(size=(30, 2))


def alarms(seed: int, images: int = 40, samples: int = 12) -> tuple[bool, bool]:
    """Compare two halves of one set whose samples resemble their image: permuting images, and permuting samples."""
    image = RNG(seed).normal(size=(2 * images, 1))
    values = np.repeat(image, samples, axis=0) + 0.2 * RNG(seed + 1).normal(size=(2 * images * samples, 1))
    means = values.reshape(2 * images, samples).mean(axis=1, keepdims=True)
    by_image = permutation_test([means], np.repeat([False, True], images), permutations=99)
    by_sample = permutation_test([values], np.repeat([False, True], images * samples), permutations=99)
    return by_image.p <= 0.05, by_sample.p <= 0.05


def test_mutant_permuting_samples_instead_of_images_gives_false_alarms() -> None:
    found = np.array([alarms(seed) for seed in range(40)]).sum(axis=0)
    assert found[0] <= 6
    assert found[1] >= 16


def test_what_is_beyond_chance_is_scipys() -> None:
    p = np.concatenate([RNG(0).random(60), RNG(1).random(12) * 0.004, [0.02, 0.02]])
    assert beyond_chance(p).tolist() == (stats.false_discovery_control(p) <= two_samples.LEVEL).tolist()
    assert 5 < beyond_chance(p).sum() < 20
    assert beyond_chance(np.zeros(0)).tolist() == []


@pytest.mark.parametrize("sparse", [False, True])
def test_the_interval_of_a_ratio_is_scipys(sparse: bool) -> None:
    values, second = two_sets(60, 40)
    found = ratios(csr_matrix(values) if sparse else values, second)
    for number in range(3):
        sets = (values[~second, number], values[second, number])
        expected = stats.bootstrap(
            sets, lambda a, b, axis: b.mean(axis=axis) / a.mean(axis=axis), n_resamples=4000, method="percentile", rng=1
        ).confidence_interval
        assert found.ratio[number] == pytest.approx(sets[1].mean() / sets[0].mean())
        assert (found.low[number], found.high[number]) == pytest.approx(tuple(expected), rel=0.12)


def test_a_ratio_to_nothing_is_infinite() -> None:
    values, second = np.array([[0.0, 0], [0, 0], [1, 0], [1, 0]]), np.array([False, False, True, True])
    found = ratios(values, second)
    assert (found.ratio[0], found.low[0], found.high[0]) == (np.inf, np.inf, np.inf)
    assert np.isnan([found.ratio[1], found.low[1], found.high[1]]).all()


def test_a_shift_is_welchs_in_deviations_of_the_first_set() -> None:
    values, second = two_sets(30, 20)
    found = shifts(values, second)
    for number in range(3):
        a, b = values[~second, number], values[second, number]
        assert found.shift[number] == pytest.approx((b.mean() - a.mean()) / a.std())
        error = (found.high[number] - found.low[number]) / 2 / two_samples.WIDTH
        assert found.shift[number] / error == pytest.approx(stats.ttest_ind(b, a, equal_var=False).statistic)


def test_units_that_are_dead_in_the_first_set_or_in_both() -> None:
    values = np.array([[0.0, 0], [0, 0], [2, 0], [0, 0]], np.float32)
    found = shifts(values, np.array([False, False, True, True]))
    assert found.shift.tolist() == pytest.approx([1 / values[:, 0].std(), 0])


def one_of_many(columns: int, sparse: bool = False) -> tuple[object, np.ndarray]:
    """Draw two sets of 60 images with one column of many that shifts by five deviations."""
    values = RNG(3).normal(size=(120, columns)).astype(np.float32)
    second = np.repeat([False, True], 60)
    values[second, 7] += 5
    return csr_matrix(values) if sparse else values, second


@pytest.mark.parametrize("sparse", [False, True])
def test_one_column_of_many_is_beyond_chance(sparse: bool) -> None:
    values, second = one_of_many(1280, sparse)
    found = permutation_test([values], second, permutations=1_999).parts[0]
    assert np.flatnonzero(beyond_chance(found.columns)).tolist() == [7]
    assert found.columns[7] == pytest.approx(1 / (1 + two_samples.enough(1280)))


def test_mutant_as_many_permutations_for_any_number_of_columns_pass_one_of_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(two_samples, "enough", lambda columns: 0)
    values, second = one_of_many(1280)
    found = permutation_test([values], second, permutations=1_999).parts[0]
    assert not beyond_chance(found.columns).any()


def test_further_permutations_keep_p_values_exact() -> None:
    """Of 200 columns without a difference, no more than their share falls below the smallest p-value of the first ones."""
    p = np.concatenate(
        [
            permutation_test([RNG(seed).normal(size=(40, 200))], RNG(seed).permutation(40) < 20, permutations=199)
            .parts[0]
            .columns
            for seed in range(20)
        ]
    )
    assert (p < 1 / 200).sum() <= 35  # 20 are expected
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.02)
    assert (p < 1 / 4000).sum() <= 4  # one is expected


def test_progress_is_told_to_the_end() -> None:
    told: list[float] = []
    values, second = two_sets(6, 5)
    permutation_test([values], second, permutations=500, advance=told.append)
    assert told == sorted(told)
    assert told[-1] == 1
