"""Compare the labels of two datasets: how often each is, and how far its images shift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int
from atlas.comparing import two_samples
from atlas.comparing.drift import Double
from atlas.comparing.two_samples import Bool, Ratios
from flows.comparing.pairs import Images

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FEWEST = 5
"""Images of a label that each dataset needs for its shift to be measured."""

PERMUTATIONS = 1_999
"""Permutations within a label, at most: there may be a thousand labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChanges:
    """The labels of two datasets, `l`, with their images in each, `l 2`; shares are among the images that have a label.

    `p` and `beyond` judge the shares; `shift`, `shift_p` and `shift_beyond` how far the images of a label shift, NaN
    where a set has too few of them. `unlabelled` counts each set's images without a label, with the p-value of their
    share.
    """

    names: list[str]
    count: Int
    ratios: Ratios
    p: Double
    beyond: Bool
    shift: Double
    shift_p: Double
    shift_beyond: Bool
    unlabelled: tuple[int, int]
    unlabelled_p: float


def changes(
    images: tuple[Images, Images], ids: tuple[Int, Int], units: Float, permutations: int, seed: int
) -> LabelChanges | None:
    """Compare the labels of the images `ids` of two datasets; None unless both have some.

    `units`, `n u`, are the means of the images, those of the first dataset first.
    """
    labels = [[one.label[i] for i in chosen.tolist()] for one, chosen in zip(images, ids, strict=True)]
    if not all(any(label for label in side) for side in labels):
        return None
    names = sorted({label for side in labels for label in side if label})
    number: dict[str | None, int] = {name: n for n, name in enumerate(names)}
    label = np.array([number.get(name, -1) for side in labels for name in side], np.int64)
    second = np.repeat([False, True], [len(side) for side in labels])
    known = label >= 0
    count = np.stack([np.bincount(label[known & mask], minlength=len(names)) for mask in (~second, second)], axis=1)
    p = share_p(count, count.sum(axis=0))
    shift, shift_p = _shifts(label, len(names), units, second, min(permutations, PERMUTATIONS), seed)
    sizes = np.array([len(side) for side in labels])
    without = sizes - count.sum(axis=0)
    return LabelChanges(
        names=names,
        count=count,
        ratios=two_samples.ratios(_one_hot(label[known], len(names)), second[known], seed=seed),
        p=p,
        beyond=two_samples.beyond_chance(p),
        shift=shift,
        shift_p=shift_p,
        shift_beyond=_among_known(shift_p),
        unlabelled=(int(without[0]), int(without[1])),
        unlabelled_p=float(share_p(without[None], sizes)[0]),
    )


def share_p(count: Int, sizes: Int) -> Double:
    """Return for each row of counts, `l 2`, in sets of these sizes, how often relabelled images differ as much in share.

    That is the limit of ever more permutations, by the hypergeometric distribution.
    """
    from scipy.stats import hypergeom

    total, expected = count.sum(axis=1), count.sum(axis=1) * (sizes[1] / sizes.sum())
    least = np.abs(count[:, 1] - expected) - two_samples.ROUNDING
    drawn = hypergeom(int(sizes.sum()), total, int(sizes[1]))
    tails = drawn.cdf(np.floor(expected - least)) + drawn.sf(np.ceil(expected + least) - 1)
    return np.where(least <= 0, 1.0, np.minimum(1.0, tails))


def _one_hot(label: Int, labels: int) -> csr_matrix:
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(label), np.float32), (np.arange(len(label)), label)), shape=(len(label), labels))


def _shifts(label: Int, labels: int, units: Float, second: Bool, permutations: int, seed: int) -> tuple[Double, Double]:
    """Return the shift of each label and its p-value, `l`: permutations among the images of the label."""
    shift, p = np.full(labels, np.nan), np.full(labels, np.nan)
    deviation = units[~second].std(axis=0, dtype=np.float64)

    def measure(number: int, permutations: int) -> tuple[float, float]:
        chosen = order[starts[number] : starts[number + 1]]
        values, side = _in_deviations(units[chosen], deviation), second[chosen]
        part = two_samples.permutation_test([values], side, permutations=permutations, seed=seed).parts[0]
        return _size(values, side), part.p

    order = np.argsort(label, kind="stable")
    starts = np.searchsorted(label[order], np.arange(labels + 1))
    counts = np.stack([np.bincount(label[(label >= 0) & mask], minlength=labels) for mask in (~second, second)])
    many = np.flatnonzero(counts.min(axis=0) >= FEWEST)
    for number in many.tolist():
        shift[number], p[number] = measure(number, permutations)
    for number in many[two_samples.undecided(p[many], permutations)].tolist():
        p[number] = min(p[number], measure(number, two_samples.enough(len(many)))[1])
    return shift, p


def _in_deviations(values: Float, deviation: Double) -> NDArray[np.float32]:
    """Divide the values of each unit, `n u`, by its standard deviation over the reference's images; 0 for a dead unit."""
    scaled: Float = np.divide(values, deviation, out=np.zeros(values.shape), where=deviation > 0).astype(np.float32)
    return scaled


def _size(values: NDArray[np.float32], second: Bool) -> float:
    """Return the root mean square of the units' shifts, less what the variance of the means adds to it."""
    a, b = (values[mask].astype(np.float64) for mask in (~second, second))
    squared = (b.mean(axis=0) - a.mean(axis=0)) ** 2
    noise = a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b)
    return float(np.sqrt(max(0.0, float((squared - noise).mean()))))


def _among_known(p: Double) -> Bool:
    """Tell which p-values are beyond chance among those that are known."""
    beyond, known = np.zeros(len(p), np.bool_), np.isfinite(p)
    beyond[known] = two_samples.beyond_chance(p[known])
    return beyond
