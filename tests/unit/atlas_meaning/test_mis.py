"""The machine interpretability score against its formula in loops, and on planted units."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from atlas.meaning import mis

WIDTH, PATCHES = 32, 40


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def direct(own: NDArray[np.float64], other: NDArray[np.float64], alpha: float) -> float:
    """Return the score by the formula, a task at a time."""
    probabilities = []
    for ranks in mis.sets(min(len(own), len(other))).tolist():
        for query in ranks:
            rest = [rank for rank in ranks if rank != query]
            difference = 0.0
            for q, sign in ((own[query], 1), (other[query], -1)):
                alike = sum(float(q @ own[rank]) for rank in rest) / 9
                unlike = sum(float(q @ other[rank]) for rank in rest) / 9
                difference += sign * (alike - unlike)
            probabilities.append(1 / (1 + math.exp(-alpha * difference)))
    return sum(probabilities) / len(probabilities)


def planted(seed: int) -> tuple[list[NDArray[np.float64]], NDArray[np.int64]]:
    """Return patches of units that see one kind of thing (0), either of two (1), or anything (2)."""
    random = np.random.default_rng(seed)
    things = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0]
    what = np.repeat([0, 1, 2], 8)
    sides = []
    for number, kind in enumerate(what.tolist()):
        seen = {0: [number % WIDTH], 1: [number % WIDTH, (number + 11) % WIDTH], 2: list(range(WIDTH))}[kind]
        sides.append(unit(things[random.choice(seen, PATCHES)] + random.normal(size=(PATCHES, WIDTH)) * 0.02))
    return sides, what


def of_planted(seed: int) -> tuple[mis.Scores, NDArray[np.int64]]:
    sides, what = planted(seed)
    random = np.random.default_rng([seed, 1])
    anything = [unit(random.normal(size=(PATCHES, WIDTH))) for _ in sides]
    return mis.scores(sides, anything, np.zeros(len(sides), np.bool_)), what


def test_sets_are_disjoint_and_have_patches_of_all_strengths() -> None:
    ranks = mis.sets(64)
    assert ranks.shape == (6, 10)
    assert sorted(ranks.ravel().tolist()) == list(range(60))
    assert (ranks // 6 == np.arange(10)).all()  # one of each tenth
    assert mis.sets(9).shape == (0, 10)


def wrong(random: np.random.Generator) -> list[float]:
    """Return the differences of the scores from the formula."""
    sides = [[unit(random.normal(size=(n, 5))) for n in (64, 20, 31)] for _ in range(2)]
    scores = mis.scores(*sides, np.zeros(3, np.bool_))
    expected = [direct(a, b, scores.alpha) for a, b in zip(*sides, strict=True)]
    strangers = mis._of_others(sides[1], 0)
    expected_negative = [direct(a, b, scores.alpha) for a, b in zip(sides[1], strangers, strict=True)]
    return np.abs(np.r_[scores.both - expected, scores.negative - expected_negative]).tolist()


def test_the_score_is_the_formula() -> None:
    assert max(wrong(np.random.default_rng(0))) < 1e-12


def test_mutant_a_query_among_its_own_references_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_itself(query: NDArray[np.float64], own: NDArray[np.float64], other: NDArray[np.float64]) -> object:
        return np.einsum("nqd,nd->nq", query, own.mean(1) - other.mean(1))

    monkeypatch.setattr(mis, "_delta", with_itself)
    assert max(wrong(np.random.default_rng(0))) > 1e-3


def test_either_sign_has_the_same_score_against_the_other() -> None:
    random = np.random.default_rng(2)
    a, b = (unit(random.normal(size=(6, 10, 5))) for _ in range(2))
    assert np.allclose(mis.differences(a, b), mis.differences(b, a))


def test_planted_units_score_as_they_should() -> None:
    lower, random = 0, []
    for seed in range(100):
        scores, what = of_planted(seed)
        one, either, anything = (scores.positive[what == kind].mean() for kind in (0, 1, 2))
        assert one >= 0.95
        lower += one - either >= 0.10
        random.append(anything)
    assert lower >= 95
    assert abs(np.mean(random) - 0.5) <= 0.03
    assert np.abs(np.array(random) - 0.5).max() <= 0.08


def test_shuffled_patches_score_a_half() -> None:
    sides, _ = planted(0)
    joined = np.random.default_rng(5).permutation(np.concatenate(sides)).reshape(len(sides), PATCHES, WIDTH)
    scores = mis.scores(list(joined), list(joined[::-1]), np.zeros(len(sides), np.bool_))
    for side in (scores.both, scores.positive, scores.negative):
        assert abs(side.mean() - 0.5) <= 0.03


def test_the_same_picture_over_and_over_scores_what_alpha_says() -> None:
    eye = np.eye(80)
    assert mis.alpha(eye) == pytest.approx(3.4)
    score = mis._score(np.repeat(eye[:1], 60, 0), eye[10:70], mis.alpha(eye))
    assert score == pytest.approx(1 / (1 + math.exp(-3.4)), abs=1e-12)


def test_units_without_patches_or_with_one_value_have_no_score() -> None:
    random = np.random.default_rng(3)
    sides = [unit(random.normal(size=(n, 5))) for n in (64, 9, 64)]
    scores = mis.scores(sides, sides, np.array([False, False, True]))
    assert np.isfinite(scores.both).tolist() == [True, False, False]
    alone = mis.scores(sides[:1], sides[:1], np.zeros(1, np.bool_))
    assert np.isnan(alone.positive).all()  # there is no other unit
