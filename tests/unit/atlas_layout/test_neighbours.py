"""Neighbours against a comparison of all pairs in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from atlas.layout import neighbours
from atlas.layout.neighbours import Index, Neighbours, graph, one_thread


def brute(base: np.ndarray, queries: np.ndarray, k: int) -> Neighbours:
    """Compare every query with every base row, in float64, equals in the order of the rows."""
    apart = np.array([[np.sqrt(((b.astype(float) - q) ** 2).sum()) for b in base] for q in queries.astype(float)])
    rows = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return Neighbours(rows=rows, distances=np.take_along_axis(apart, rows, axis=1).astype(np.float32))


def same(found: Neighbours, right: Neighbours) -> bool:
    return np.array_equal(found.rows, right.rows) and np.allclose(found.distances, right.distances, rtol=1e-6)


WHOLE = st.integers(-3, 3).map(float)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=WHOLE), st.integers(1, 15))
def test_search_is_brute_force_with_ties_and_duplicates(base: np.ndarray, k: int) -> None:
    # At most 12 rows: FAISS proposes all of them, so that every tie is decided by the exact distances and the rows.
    queries = base[::-1] + np.float32(0.5)
    assert same(Index(base).search(queries, k), brute(base, queries, min(k, len(base))))


def test_search_is_brute_force_on_more_vectors_in_more_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    base, queries = rng.normal(size=(700, 9)).astype(np.float32), rng.normal(size=(90, 9)).astype(np.float32)
    right = brute(base, queries, 11)
    assert same(Index(base).search(queries, 11), right)
    monkeypatch.setattr(neighbours, "BYTES", 4 * 9 * 19 * 7)  # seven queries at a time
    assert same(Index(base).search(queries, 11), right)


def test_distances_are_not_squared_and_tell_near_duplicates_apart() -> None:
    base = np.full((3, 8), 100, np.float32)
    base[1, 0] += 3e-4  # in float32, ‖a‖² + ‖b‖² − 2ab of these is 0 or rounding noise of 1e-2
    base[2, 0] += 1e-4
    found = Index(base).search(base[:1], 3)
    assert found.rows.tolist() == [[0, 2, 1]]
    assert found.distances[0] == pytest.approx([0, base[2, 0] - 100, base[1, 0] - 100], rel=1e-6)


def test_an_inverted_file_finds_nearly_all_and_fills_every_place() -> None:
    rng = np.random.default_rng(1)
    base = (rng.normal(size=(40, 6))[rng.integers(0, 40, 3000)] + 0.2 * rng.normal(size=(3000, 6))).astype(np.float32)
    right = brute(base, base[:60], 10)
    found = Index(base, exact_up_to=100).search(base[:60], 10)
    assert (found.rows >= 0).all()
    shared = [len(set(a) & set(b)) for a, b in zip(found.rows.tolist(), right.rows.tolist(), strict=True)]
    assert sum(shared) >= 0.95 * right.rows.size
    # As many as there are: the lists looked at hold fewer, and the search goes on exactly.
    everything = Index(base[:200], exact_up_to=100).search(base[:5], 200)
    assert same(everything, brute(base[:200], base[:5], 200))


def test_graph_puts_each_vector_first_in_its_own_row() -> None:
    base = np.array([[0], [0], [0], [0], [5]], np.float32)
    found = graph(base, 2)
    assert found.rows.tolist() == [[0, 1], [1, 0], [2, 0], [3, 0], [4, 0]]
    assert found.distances.tolist() == [[0, 0], [0, 0], [0, 0], [0, 0], [0, 5]]


def test_mutant_squared_distances_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    base = np.random.default_rng(2).normal(size=(50, 3)).astype(np.float32)
    right = brute(base, base, 5)
    assert same(graph(base, 5), right)
    honest = neighbours._distances
    monkeypatch.setattr(neighbours, "_distances", lambda c, q: honest(c, q) ** 2)
    assert not same(graph(base, 5), right)


def test_mutant_the_order_that_faiss_gives_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    base = np.full((3, 8), 100, np.float32)
    base[:, 0] += np.array([0, 3e-4, 1e-4], np.float32)
    right = brute(base, base, 3)
    assert same(graph(base, 3), right)
    monkeypatch.setattr(neighbours, "_distances", lambda c, q: np.zeros(c.shape[:2]))
    assert not same(graph(base, 3), right)


def test_one_thread_gives_back_what_was_set() -> None:
    import faiss
    import numba

    before = faiss.omp_get_max_threads(), numba.get_num_threads()
    with one_thread():
        assert (faiss.omp_get_max_threads(), numba.get_num_threads()) == (1, 1)
    assert (faiss.omp_get_max_threads(), numba.get_num_threads()) == before


def test_nothing_to_search_in_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(0, 3\)"):
        Index(np.zeros((0, 3), np.float32))
