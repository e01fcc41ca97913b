"""Machine interpretability score: can an encoder tell a unit's patches from others by nine references a side?

Zimmermann et al. 2024 (NeurIPS): of two queries, which belongs to the unit? p = σ(α·[Δ(q⁺) − Δ(q⁻)]) with
Δ(q) = mean_{e∈E⁺} s(q, e) − mean_{e∈E⁻} s(q, e), where s is the cosine of the encoder; the score is the mean p over tasks.
1 = one thing, ½ = chance. α belongs to the encoder and the layer, so scores of different encoders are never compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]

REFERENCES = 9
"""References on each side of a task."""
_LOGIT = 3.4
"""α·D, where D is the difference of a unit whose patches are all the same picture: a score of 0.968."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores `units` of one layer, NaN where a side has too few patches, and the α that they were computed with.

    `both` sets the strongest patches against the most negative ones, as the paper does, which gives either sign the same
    number. `positive` and `negative` set the patches of a sign against patches of that sign of other units.
    """

    both: Vectors
    positive: Vectors
    negative: Vectors
    alpha: float


def sets(count: int) -> NDArray[np.int64]:
    """Return ranks `n 10`: patches of all strengths, in disjoint sets of nine references and a query.

    Each patch of a set is once the query, with the others as its references, so a set makes ten tasks.
    """
    size = REFERENCES + 1
    number = count // size
    rank, place = np.arange(number * size).reshape(size, number), np.arange(size)
    return np.stack([rank[place, (start + place) % number] for start in range(number)]) if number else rank.T


def differences(own: Vectors, other: Vectors) -> Vectors:
    """Return Δ(q⁺) − Δ(q⁻) of the tasks `n 10` of sets of vectors `n 10 d` of the unit and of others.

    A query is compared with the nine others of its own set, and with the nine of the other set that are not its rival.
    """
    return _delta(own, own, other) - _delta(other, own, other)


def _delta(query: Vectors, own: Vectors, other: Vectors) -> Vectors:
    sums = [np.einsum("nqd,nd->nq", query, side.sum(1)) for side in (own, other)]
    left_out = [np.einsum("nqd,nqd->nq", query, side) for side in (own, other)]
    means = [(whole - one) / REFERENCES for whole, one in zip(sums, left_out, strict=True)]
    return np.asarray(means[0] - means[1])


def probability(difference: Vectors, alpha: float) -> Vectors:
    """Return σ(α·difference)."""
    positive = 1 / (1 + np.exp(-np.abs(alpha * difference)))
    return np.where(difference < 0, 1 - positive, positive)


def alpha(strangers: Vectors) -> float:
    """Return the α of an encoder on a layer, from vectors `n d` of patches that have nothing to do with each other.

    Patches shuffled among units give ½ with any α, by symmetry. Its size is that at which the same picture over and over,
    whose cosine is 1, against strangers scores 0.968. NaN where all strangers are alike.
    """
    number = len(strangers)
    total = strangers.sum(0)
    alike = (total @ total - (strangers**2).sum()) / max(1, number * (number - 1))
    contrast = 1 - alike
    return float(_LOGIT / contrast) if number > 1 and contrast > 1e-8 else float("nan")


def scores(positive: list[Vectors], negative: list[Vectors], constant: NDArray[np.bool_], seed: int = 0) -> Scores:
    """Return the scores of units from the unit vectors `n d` of their patches of both signs, strongest first.

    A `constant` unit, whose values hardly differ, has none.
    """
    strangers = [_of_others(side, seed) for side in (positive, negative)]
    shuffled = [one for side in strangers for one in side if len(one)]
    factor = alpha(np.concatenate(shuffled)) if shuffled else float("nan")

    def of(own: list[Vectors], other: list[Vectors]) -> Vectors:
        both = zip(own, other, constant.tolist(), strict=True)
        return np.array([np.nan if still else _score(a, b, factor) for a, b, still in both])

    return Scores(
        both=of(positive, negative),
        positive=of(positive, strangers[0]),
        negative=of(negative, strangers[1]),
        alpha=factor,
    )


def _score(own: Vectors, other: Vectors, factor: float) -> float:
    ranks = sets(min(len(own), len(other)))
    if not len(ranks) or not np.isfinite(factor):
        return float("nan")
    return float(probability(differences(own[ranks], other[ranks]), factor).mean())


def _of_others(side: list[Vectors], seed: int) -> list[Vectors]:
    """Return for each unit as many patches as it has, drawn from those of all other units."""
    joined, owner = np.concatenate(side), np.repeat(np.arange(len(side)), [len(one) for one in side])
    strangers = []
    for unit, own in enumerate(side):
        others = np.flatnonzero(owner != unit)
        drawn = np.random.default_rng([seed, unit]).choice(len(others), min(len(own), len(others)), replace=False)
        strangers.append(joined[others[drawn]])
    return strangers
