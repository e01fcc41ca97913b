"""Layouts of degenerate, clustered and shuffled vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tqdm import tqdm
from tqdm.std import TqdmDefaultWriteLock

from atlas.layout import layout as module
from atlas.layout.layout import hash_keys, layout

RNG = np.random.default_rng


def groups(n: int, k: int = 4, c: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw n vectors around k far directions; return them with their group."""
    rng = RNG(seed)
    group = rng.integers(0, k, n)
    return (10 * np.eye(c)[group] + 0.5 * rng.normal(size=(n, c))).astype(np.float32), group


def sane(points: np.ndarray, n: int) -> bool:
    return points.shape == (n, 2) and points.dtype == np.float32 and bool(((points >= 0) & (points <= 1)).all())


DEGENERATE = {
    "none": np.zeros((0, 3)),
    "one": np.ones((1, 3)),
    "two": np.eye(2, 3),
    "three": np.eye(3),
    "fewer than neighbours": groups(14)[0],
    "one column": RNG(1).normal(size=(40, 1)),
    "all equal": np.full((50, 3), 2.5),
    "all zero": np.zeros((50, 3)),
    "constant columns": np.concatenate([groups(40)[0], np.full((40, 3), 9)], axis=1),
    "zero vectors": np.concatenate([groups(30)[0], np.zeros((60, 6))]),
    "opposite": np.concatenate([groups(30)[0], -groups(30)[0]]),
    "two far groups": np.concatenate([RNG(2).normal(size=(40, 3)), RNG(3).normal(size=(40, 3)) + 1e6]),
    "huge": RNG(4).normal(size=(40, 3)) * 1e38,
    "tiny": RNG(5).normal(size=(40, 3)) * 1e-42,
    "wide": RNG(6).normal(size=(20, 300)),
}


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("method", ["umap", "pca"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_vectors_get_finite_places(name: str, method: str, metric: str) -> None:
    vectors = DEGENERATE[name].astype(np.float32)
    assert sane(layout(vectors, method=method, metric=metric).points, len(vectors))


@pytest.mark.parametrize("name", ["three", "fewer than neighbours", "all equal", "zero vectors", "opposite"])
def test_degenerate_vectors_get_finite_places_by_tsne(name: str) -> None:
    vectors = DEGENERATE[name].astype(np.float32)
    assert sane(layout(vectors, method="tsne").points, len(vectors))


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_groups_lie_apart_also_where_most_are_placed_among_anchors(method: str) -> None:
    vectors, group = groups(400)
    made = layout(vectors, method=method, anchors=100, neighbours=10)
    assert len(made.anchors) == 100
    assert made.anchors.tolist() == sorted(np.argsort(hash_keys(np.arange(400), 0))[:100])
    apart = np.linalg.norm(made.points[:, None] - made.points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (group[apart.argmin(axis=1)] == group).all()
    assert made.trustworthiness is not None
    assert made.trustworthiness > 0.8


def test_equal_vectors_share_a_place() -> None:
    vectors = np.repeat(groups(30)[0], 3, axis=0)
    points = layout(vectors).points.reshape(30, 3, 2)
    assert (points == points[:, :1]).all()
    assert len(np.unique(points[:, 0], axis=0)) == 30


def permuted(seed: int) -> bool:
    """Tell whether shuffling samples and keys together only shuffles the layout."""
    vectors, _ = groups(80)
    keys = RNG(9).integers(0, 2**63, 80).astype(np.uint64)
    order = RNG(seed).permutation(80)
    straight = layout(vectors, keys=keys, anchors=40).points[order]
    return bool(np.array_equal(straight, layout(vectors[order], keys=keys[order], anchors=40).points))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 999))
def test_places_do_not_depend_on_the_order_of_the_samples(seed: int) -> None:
    assert permuted(seed)


def test_mutant_anchors_chosen_by_row_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "hash_keys", lambda keys, seed: np.arange(len(keys)))
    assert not permuted(1)


def test_another_seed_may_draw_the_same_anchors() -> None:
    """What noise is measured by: a layout that differs by chance alone, and not by whom it drew."""
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    first, other, same = (
        layout(vectors, seed=seed, anchors=100, anchors_seed=drawn, neighbours=10)
        for seed, drawn in ((0, None), (1, None), (1, 0))
    )
    assert same.anchors.tolist() == first.anchors.tolist() != other.anchors.tolist()
    assert not np.array_equal(same.points, first.points)


def test_new_samples_replace_few_anchors() -> None:
    old = set(np.argsort(hash_keys(np.arange(1000), 3))[:100].tolist())
    new = set(np.argsort(hash_keys(np.arange(1100), 3))[:100].tolist())
    assert len(old & new) >= 80


def test_seed_is_what_decides() -> None:
    vectors, _ = groups(80)
    made = [layout(vectors, seed=s).points for s in (1, 1, 2)]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_trustworthiness_is_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.manifold import trustworthiness

    vectors, _ = groups(90)
    made = layout(vectors, method="pca")
    assert made.trustworthiness == pytest.approx(trustworthiness(vectors, made.points, n_neighbors=15, metric="cosine"))
    monkeypatch.setattr(module, "TRUSTWORTHINESS_SAMPLES", 50)
    part = np.argsort(hash_keys(np.arange(90), 1))[:50]
    right = trustworthiness(vectors[part], made.points[part], n_neighbors=15, metric="cosine")
    assert layout(vectors, method="pca").trustworthiness == pytest.approx(right)
    assert layout(vectors[:5]).trustworthiness is None


def test_pca_is_scikit_learns_up_to_the_frame() -> None:
    from sklearn.decomposition import PCA

    vectors, _ = groups(60)
    axes = PCA(2).fit_transform(vectors)
    points = layout(vectors, method="pca", metric="euclidean").points
    for axis in (0, 1):
        order = np.argsort(points[:, axis])
        assert order.tolist() in (np.argsort(axes[:, axis]).tolist(), np.argsort(-axes[:, axis]).tolist())


def test_an_earlier_layout_is_the_frame_of_the_next() -> None:
    vectors, _ = groups(200)
    before = layout(vectors)
    changed = vectors + 0.05 * RNG(7).normal(size=vectors.shape).astype(np.float32)
    start = np.where(np.arange(200)[:, None] < 180, before.points[:, ::-1], np.nan).astype(np.float32)  # turned
    after = layout(changed, start=start).points
    assert sane(after, 200)
    moved = np.linalg.norm(after[:180] - start[:180], axis=1)
    assert np.median(moved) < 0.1
    assert np.median(np.linalg.norm(after[180:] - before.points[180:, ::-1], axis=1)) < 0.15
    alone = layout(changed, seed=5).points
    assert np.median(moved) < 0.5 * np.median(np.linalg.norm(alone[:180] - start[:180], axis=1))


def test_wide_vectors_are_projected_and_it_is_said() -> None:
    vectors = np.concatenate([groups(150)[0], 1e-3 * RNG(8).normal(size=(150, 300))], axis=1).astype(np.float32)
    made = layout(vectors)
    assert "principal axes" in made.notes[0]
    assert made.trustworthiness is not None
    assert made.trustworthiness > 0.8
    assert "only 3 different vectors" in layout(np.eye(3, dtype=np.float32)).notes[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name(bad: float) -> None:
    vectors = groups(20)[0]
    vectors[13, 2] = bad
    with pytest.raises(ValueError, match="sample 13 of 20 has NaN or infinite"):
        layout(vectors)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"method": "mds"}, "no layout method 'mds'; there are umap, tsne, pca"),
        ({"metric": "l1"}, "no metric 'l1'"),
        ({"anchors": 0}, "at least one anchor"),
        ({"keys": np.arange(3)}, "3 keys for 20 vectors"),
        ({"start": np.zeros((3, 2))}, r"start has the shape \(3, 2\)"),
        ({"neighbours": 1}, "at least 2 neighbours"),
    ],
)
def test_what_cannot_be_done_is_refused(asked: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        layout(groups(20)[0], **asked)


def test_no_lock_of_several_processes_is_made() -> None:
    """A worker that is stopped would leave it behind, and Python would warn of it."""
    tqdm.set_lock(TqdmDefaultWriteLock())
    layout(groups(40)[0], method="umap")
    assert not isinstance(tqdm.get_lock(), TqdmDefaultWriteLock)
