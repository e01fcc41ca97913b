"""Test whether two sets of images differ: permutations and resamples of whole images, never of their samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float
from atlas.comparing.drift import Double

PERMUTATIONS = 9_999
"""Permutations of the images. The smallest p-value is 0.0001, which suffices for one cell among 500 at 5 %."""

RESAMPLES = 999
"""Bootstrap samples of the images behind an interval."""

LEVEL = 0.05
"""Expected share of chance among all that is said to be beyond it."""

WIDTH = 1.96
"""Half of a 95 % interval, in standard errors."""

BYTES = 1 << 26
"""Memory for the permutations computed at a time."""

ROUNDING = 1e-6
"""Differences that are equal up to this part of a standard deviation count as equal."""

Bool = NDArray[np.bool_]
Values = Any
"""Values of images, `n k`, an array or a sparse matrix: a column for each cell, unit or label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a comparison: the p-value of each column, `k`, and of all together."""

    columns: Double
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """The parts of a comparison, the p-values of further statistics, and that of all of them: of the smallest."""

    parts: tuple[Part, ...]
    statistics: tuple[float, ...]
    p: float


def permutation_test(
    parts: Sequence[Values],
    second: Bool,
    statistics: Sequence[Callable[[Float], Double]] = (),
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Test:
    """Compare the means of two sets of images in every column of every part; `second`, `n`, marks the second set.

    A permutation draws at random which images are the second set, the same for all columns. The p-value of a column is the share of
    permutations whose difference is at least as large, itself included; that of a part is the same for the mean of
    the squared differences in standard deviations; and that of all is the same for the smallest of the parts' p-values.
    `statistics` are further parts, without columns: functions of labellings, `m n`, that are large where sets differ.
    All are exact where the images are exchangeable, whatever their values and however these depend on each other.
    """
    measured = [_Column.of(part, second) for part in parts]
    exceeding = [np.zeros(len(column.observed)) for column in measured]
    sizes = np.empty((1 + permutations, len(parts) + len(statistics)))
    sizes[0, : len(parts)] = [column.size(column.observed[None])[0] for column in measured]
    sizes[0, len(parts) :] = [statistic(second[None].astype(np.float32))[0] for statistic in statistics]
    done = 1
    widest = max([len(second), *(len(column.observed) for column in measured)])
    for block in labellings(second, permutations, seed, widest):
        rows = slice(done, done + len(block))
        for number, column in enumerate(measured):
            differences = column.differences(block)
            exceeding[number] += (np.abs(differences) >= column.least).sum(axis=0)
            sizes[rows, number] = column.size(differences)
        for number, statistic in enumerate(statistics, start=len(parts)):
            sizes[rows, number] = statistic(block)
        done += len(block)
    shares = np.array([tail_shares(column) for column in sizes.T]).reshape(-1, 1 + permutations).T
    smallest = shares.min(axis=1, initial=1.0)
    return Test(
        parts=tuple(
            Part(columns=(1 + counts) / (1 + permutations), p=float(shares[0, number]))
            for number, counts in enumerate(exceeding)
        ),
        statistics=tuple(shares[0, len(parts) :].tolist()),
        p=float((smallest <= smallest[0]).mean()),
    )


def labellings(second: Bool, count: int, seed: int, widest: int = 0) -> Iterator[Float]:
    """Yield permutations of `second`, `n`, by blocks `m n`, until there are `count`.

    A block `m widest` fits into memory; the permutations do not depend on it.
    """
    rng = np.random.default_rng(seed)
    step = max(1, BYTES // (8 * max(len(second), widest)))
    for first in range(0, count, step):
        rows = np.tile(second.astype(np.float32), (min(step, count - first), 1))
        yield rng.permuted(rows, axis=1, out=rows)


def tail_shares(values: Double) -> Double:
    """Return for each value the share of all, itself included, that are at least as large."""
    ordered = np.sort(values)
    slack = ROUNDING * max(1e-30, float(np.abs(ordered).max()))
    shares: Double = (len(values) - np.searchsorted(ordered, values - slack, "left")) / len(values)
    return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """The columns of a part: their sums, observed differences of means, and standard deviations over all images."""

    values: Values
    total: Double
    sizes: tuple[int, int]
    observed: Double
    deviation: Double

    @classmethod
    def of(cls, values: Values, second: Bool) -> _Column:
        total, deviation = _moments(values)
        sizes = int((~second).sum()), int(second.sum())
        bare = cls(values=values, total=total, sizes=sizes, observed=total, deviation=deviation)
        observed = bare.differences(second[None].astype(np.float32))[0]
        return cls(values=values, total=total, sizes=sizes, observed=observed, deviation=deviation)

    @property
    def least(self) -> Double:
        """The difference, up to rounding, from which on a permutation counts."""
        return np.abs(self.observed) - ROUNDING * self.deviation

    def differences(self, block: Float) -> Double:
        """Return the difference of the means of each column, `m k`, for each row of a block of labellings."""
        sums = np.asarray((self.values.T @ block.T).T, np.float64)
        return sums / self.sizes[1] - (self.total - sums) / self.sizes[0]

    def size(self, differences: Double) -> Double:
        """Return the mean over the columns of the squared differences in standard deviations, `m`."""
        scaled = np.divide(differences, self.deviation, out=np.zeros_like(differences), where=self.deviation > 0)
        mean: Double = (scaled * scaled).sum(axis=1) / max(1, len(self.deviation))
        return mean


def _moments(values: Values) -> tuple[Double, Double]:
    """Return the sum and the standard deviation of each column; a deviation of mere rounding is 0."""
    total = np.asarray(values.sum(axis=0, dtype=np.float64), np.float64).ravel()
    mean = total / values.shape[0]
    if isinstance(values, np.ndarray):
        variance = ((values - mean) ** 2).mean(axis=0, dtype=np.float64)
    else:
        variance = np.asarray(values.multiply(values).mean(axis=0), np.float64).ravel() - mean * mean
    deviation = np.sqrt(np.maximum(variance, 0))
    return total, np.where(deviation > ROUNDING * np.abs(mean), deviation, 0.0)


def beyond_chance(p: Double, level: float = LEVEL) -> Bool:
    """Tell which p-values, `k`, are beyond chance: those up to the largest with p ≤ level · rank / k.

    Benjamini & Hochberg (1995): of those that are, a share of `level` at most is expected to be chance.
    """
    if not len(p):
        return np.zeros(0, np.bool_)
    ordered = np.sort(p)
    passing = np.flatnonzero(ordered <= level * np.arange(1, len(p) + 1) / len(p))
    beyond: Bool = p <= (ordered[passing[-1]] if len(passing) else -1.0)
    return beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """The means of each column, `k`, in two sets, and the ratio of the second to the first with its 95 % interval.

    A ratio to 0 is infinite, that of 0 to 0 is NaN.
    """

    first: Double
    second: Double
    ratio: Double
    low: Double
    high: Double


def ratios(values: Values, second: Bool, *, resamples: int = RESAMPLES, seed: int = 0) -> Ratios:
    """Divide the means of the second set of images by those of the first; the interval is a bootstrap over images."""
    rng = np.random.default_rng(seed)
    means = [values[mask].mean(axis=0) for mask in (~second, second)]
    a, b = (np.asarray(mean, np.float64).ravel() for mean in means)
    drawn = [_resampled_means(values[mask], resamples, rng) for mask in (~second, second)]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sort(drawn[1] / drawn[0], axis=0)  # NaN, of 0 to 0, is sorted last, as infinity is
        ratio = b / a
    low, high = (spread[round(share * (resamples - 1))] for share in (0.025, 0.975))
    return Ratios(first=a, second=b, ratio=ratio, low=low, high=high)


def _resampled_means(values: Values, resamples: int, rng: np.random.Generator) -> Double:
    """Return the means of each column, `m k`, over images drawn with replacement."""
    n = values.shape[0]
    step = max(1, BYTES // (8 * n))
    parts = []
    for first in range(0, resamples, step):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(step, resamples - first))
        parts.append(np.asarray((values.T @ weights.T.astype(np.float64)).T, np.float64) / n)
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifts:
    """By column, `k`: the difference of the means in standard deviations of the first set, with its 95 % interval."""

    shift: Double
    low: Double
    high: Double


def shifts(values: NDArray[Any], second: Bool) -> Shifts:
    """Measure how far the mean of each column `n k` shifts from the first set of images to the second.

    The unit is the standard deviation over the images of the first set, or of both where that is 0; a column that is
    constant in both has the shift 0. The interval is that of Welch: two standard errors of the means over images.
    """
    a, b = (values[mask].astype(np.float64) for mask in (~second, second))
    unit = a.std(axis=0)
    unit = np.where(unit > 0, unit, values.astype(np.float64).std(axis=0))
    errors = np.sqrt(a.var(axis=0) / max(1, len(a) - 1) + b.var(axis=0) / max(1, len(b) - 1))
    difference = b.mean(axis=0) - a.mean(axis=0)
    shift, half = (np.divide(part, unit, out=np.zeros_like(unit), where=unit > 0) for part in (difference, errors))
    return Shifts(shift=shift, low=shift - WIDTH * half, high=shift + WIDTH * half)
