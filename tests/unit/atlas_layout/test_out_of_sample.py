"""Placement and frame against hand cases."""

from __future__ import annotations

import numpy as np
import pytest

from atlas.layout import out_of_sample
from atlas.layout.alignment import match_quantiles, orient, register, to_square
from atlas.layout.neighbours import Index, Neighbours
from atlas.layout.out_of_sample import Anchors, vote, weights


def found(*distances: float) -> Neighbours:
    return Neighbours(rows=np.arange(len(distances))[None], distances=np.array([distances], np.float32))


def test_weights_by_hand() -> None:
    assert weights(found(1, 2, 4)).tolist() == [[1, 1 / 16, 1 / 256]]
    assert weights(found(0, 0, 1)).tolist() == [[1, 1, 0]]  # equal to two anchors: both count, nothing else does
    assert weights(found(1e-30, 2e-30)).tolist() == [[1, 1 / 16]]


def test_vote_by_hand() -> None:
    # Two that agree outweigh the one nearest anchor far away, and the place is their weighted mean.
    places = np.array([[[100.0, 0], [0, 0], [0, 2]]])
    near = np.exp(-2 * 2 / (2 * 2.0**2))
    by_hand = 2 * 0.8 * near / (0.9 + 0.8 * near)  # supporters of the second: itself 0.9, the third 0.8 · near
    assert vote(places, np.array([[1.0, 0.9, 0.8]]), 2.0)[0] == pytest.approx([0, by_hand], abs=1e-12)
    # One vote alone, or one that outweighs all, is the place itself.
    assert vote(places[:, :1], np.ones((1, 1)), 2.0).tolist() == [[100, 0]]
    assert vote(places, np.array([[1.0, 0.1, 0.1]]), 2.0)[0] == pytest.approx([100, 0], abs=1e-9)


def test_further_vectors_lie_where_a_hand_calculation_says() -> None:
    # Anchors on a line at 0, 1, 4 drawn at (0, 0), (0, 10), (30, 0).
    plan = Anchors(index=Index(np.array([[0], [1], [4]], np.float32)), places=np.array([[0, 0], [0, 10], [30.0, 0]]))
    width = (30 * 0.98 + 10 * 0.98) / 2  # percentiles 1 and 99 of 0, 0, 30 and 0, 0, 10: 0 and 0.98 of the last step
    assert plan.reach == pytest.approx(0.05 * width, rel=1e-6)
    queries = np.array([[1], [0.5], [3]], np.float32)
    placed = next(plan.place(iter([queries])))
    assert placed[0].tolist() == [0, 10]  # equal to an anchor: exactly on it
    assert placed[1] == pytest.approx(
        [0, 0], abs=1e-9
    )  # two equally near, far apart on the plane: the first, no middle
    assert placed[2] == pytest.approx([30, 0], abs=1e-9)


def test_mutant_the_plain_mean_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = lambda places, shares, reach: (places * shares[..., None]).sum(1) / shares.sum(1, keepdims=True)  # noqa: E731
    monkeypatch.setattr(out_of_sample, "vote", plain)
    with pytest.raises(AssertionError):
        test_further_vectors_lie_where_a_hand_calculation_says()


def test_square_by_hand() -> None:
    # 101 evenly spaced points: percentiles at 1 and 99, width 98, margin 9.8; the ends lie 1 beyond, compressed.
    drawn = np.stack([np.arange(101.0), np.full(101, 7.0)], axis=1)
    square = to_square(drawn)
    end = 9.8 * (1 / 9.8) / (1 + 1 / 9.8)
    scaled = [(9.8 - end) / 117.6, (9.8 + 49) / 117.6, (9.8 + 98 + end) / 117.6]
    shares = [0.5 / 101, 50.5 / 101, 100.5 / 101]
    assert square[[0, 50, 100], 0] == pytest.approx(
        [(a + b) / 2 for a, b in zip(scaled, shares, strict=True)], abs=1e-6
    )
    assert (square[:, 1] == 0.5).all()


def test_square_keeps_order_and_no_crowd_on_the_border() -> None:
    rng = np.random.default_rng(0)
    drawn = np.concatenate([rng.normal(size=(990, 2)), 1000 * rng.normal(size=(10, 2))])
    square = to_square(drawn)
    for axis in (0, 1):
        assert (np.argsort(square[:, axis], kind="stable") == np.argsort(drawn[:, axis], kind="stable")).all()
    assert len(np.unique(square, axis=0)) == 1000
    assert square.min() > 0
    assert square.max() < 1
    clipped = np.clip((drawn - np.quantile(drawn, 0.01, axis=0)) / np.ptp(np.quantile(drawn, (0.01, 0.99), 0), 0), 0, 1)
    assert len(np.unique(clipped[:, 0])) < 1000  # what lucid's rule does to the same points


@pytest.mark.parametrize("outlier", [0.0, 1e-300, 5.0, 1e30])
def test_square_of_equals_with_an_outlier_is_finite(outlier: float) -> None:
    drawn = np.zeros((1000, 2))
    drawn[7] = outlier
    square = to_square(drawn)
    assert np.isfinite(square).all()
    assert len(np.unique(square, axis=0)) == (1 if outlier == 0 else 2)


def test_orient_mirrors_axes_that_run_against_the_start() -> None:
    start = np.random.default_rng(1).normal(size=(30, 2))
    assert np.array_equal(orient(start * [-2, 3], start), start * [2, 3])


def test_register_finds_the_similarity_back() -> None:
    rng = np.random.default_rng(2)
    onto = rng.random((40, 2))
    turn = np.array([[np.cos(2), -np.sin(2)], [np.sin(2), np.cos(2)]]) @ np.diag([1, -1])
    drawn = (onto - 3) @ turn * 7 + [5, -2]
    assert register(drawn[:10], onto[:10], drawn) == pytest.approx(onto, abs=1e-9)
    assert register(drawn[:1], onto[:1], drawn[:1]) == pytest.approx(onto[:1])
    assert np.isfinite(register(np.ones((5, 2)), onto[:5], np.ones((5, 2)))).all()


def test_follow_gives_the_shared_points_the_spread_they_had() -> None:
    rng = np.random.default_rng(3)
    drawn = rng.normal(size=(500, 2))
    onto = 1 / (1 + np.exp(-3 * drawn))  # an even frame, as `to_square` makes them
    assert match_quantiles(drawn, onto, drawn) == pytest.approx(onto, abs=0.02)
    assert match_quantiles(drawn, onto, drawn[:9] + 100) == pytest.approx(np.tile(onto.max(axis=0), (9, 1)))
