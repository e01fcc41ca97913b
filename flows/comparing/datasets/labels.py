"""Compare the labels of two datasets: how often each is, and how far its images shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int
from atlas.comparing import two_samples
from atlas.comparing.drift import Double
from atlas.comparing.two_samples import Bool, Ratios
from flows.comparing.pairs import Images

FEWEST = 5
"""Images of a label that each dataset needs for its shift to be measured."""

PERMUTATIONS = 1_999
"""Permutations within a label, at most: there may be a thousand labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChanges:
    """The labels of two datasets, `l`, with their images in each, `l 2`.

    `p` and `beyond` judge the shares; `shift`, `shift_p` and `shift_beyond` how far the images of a label shift, NaN
    where a set has too few of them.
    """

    names: list[str]
    count: Int
    ratios: Ratios
    p: Double
    beyond: Bool
    shift: Double
    shift_p: Double
    shift_beyond: Bool


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
    has = (label[:, None] == np.arange(len(names))).astype(np.float32)
    part = two_samples.permutation_test([has], second, permutations=permutations, seed=seed).parts[0]
    shift, p = _shifts(label, len(names), units, second, min(permutations, PERMUTATIONS), seed)
    return LabelChanges(
        names=names,
        count=np.stack([has[mask].sum(axis=0).astype(np.int64) for mask in (~second, second)], axis=1),
        ratios=two_samples.ratios(has, second, seed=seed),
        p=part.columns,
        beyond=two_samples.beyond_chance(part.columns),
        shift=shift,
        shift_p=p,
        shift_beyond=_among_known(p),
    )


def _shifts(label: Int, labels: int, units: Float, second: Bool, permutations: int, seed: int) -> tuple[Double, Double]:
    """Return the shift of each label and its p-value, `l`: permutations among the images of the label."""
    shift, p = np.full(labels, np.nan), np.full(labels, np.nan)
    for number in range(labels):
        chosen = label == number
        side = second[chosen]
        if min(side.sum(), (~side).sum()) >= FEWEST:
            values = _in_deviations(units[chosen], units[~second])
            part = two_samples.permutation_test([values], side, permutations=permutations, seed=seed).parts[0]
            shift[number], p[number] = _size(values, side), part.p
    return shift, p


def _in_deviations(values: Float, reference: Float) -> NDArray[np.float32]:
    """Divide the values of each unit, `n u`, by its standard deviation over the reference's images; 0 for a dead unit."""
    unit = reference.astype(np.float64).std(axis=0)
    scaled: Float = np.divide(values, unit, out=np.zeros(values.shape), where=unit > 0).astype(np.float32)
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
