"""Find nearest neighbours by FAISS, in an order that does not depend on rounding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int

EXACT = 65_536
"""Up to this many base vectors every query is compared with all; above, an inverted file searches a part."""

SPARE = 8
"""Candidates requested beyond k: FAISS finds them in float32, and the exact distance selects the k."""

BYTES = 1 << 26
"""Memory for the candidate vectors compared exactly at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The k nearest base rows of each query, `m k`, nearest first; ties in row order."""

    rows: Int
    distances: Float


class Index:
    """Searches Euclidean neighbours among the rows of `base`, `n c`, with exact distances for those returned.

    FAISS computes squared distances as ‖a‖² + ‖b‖² − 2ab in float32, which cannot distinguish near duplicates and leaves
    the order of ties to chance; so it only proposes candidates. The same vectors give the same answer at any n.
    """

    def __init__(self, base: Float, *, exact_up_to: int = EXACT, seed: int = 0) -> None:
        if base.ndim != 2 or not base.size:
            raise ValueError(f"neighbours need vectors of shape (n, c) with n and c ≥ 1, not {base.shape}")
        self.base = np.ascontiguousarray(base, dtype=np.float32)
        self._index = _flat(self.base) if len(base) <= exact_up_to else _inverted(self.base, seed)

    def search(self, queries: Float, k: int) -> Neighbours:
        """Find the `min(k, n)` nearest base rows of each query `m c`; distances are not squared."""
        k = min(k, len(self.base))
        rows, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        step = max(1, BYTES // (4 * self.base.shape[1] * (k + SPARE)))
        for first in range(0, len(queries), step):
            part = slice(first, first + step)
            rows[part], distances[part] = self._search(np.ascontiguousarray(queries[part], dtype=np.float32), k)
        return Neighbours(rows=rows, distances=distances)

    def _search(self, queries: Float, k: int) -> tuple[Int, NDArray[np.float64]]:
        wanted = min(k + SPARE, len(self.base))
        rows = self._index.search(queries, wanted)[1]
        short = np.flatnonzero((rows < 0).any(axis=1))
        if len(short):  # an inverted file may search fewer than `wanted` vectors
            rows[short] = _flat(self.base).search(queries[short], wanted)[1]
        rows.sort(axis=1)
        exact = _distances(self.base[rows], queries)
        best = np.argsort(exact, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(rows, best, axis=1), np.take_along_axis(exact, best, axis=1)


def graph(points: Float, k: int, *, exact_up_to: int = EXACT, seed: int = 0) -> Neighbours:
    """Find the k nearest rows of each row of `points`, `n c`: itself always first, at distance 0.

    With more than k equal rows, the others are the equals with the lowest row numbers.
    """
    neighbours = Index(points, exact_up_to=exact_up_to, seed=seed).search(points, k)
    own = np.arange(len(points))[:, None]
    # If k equals with lower rows displace a vector from its own list, it replaces the last, also at distance 0.
    hidden = ~(neighbours.rows == own).any(axis=1)
    neighbours.rows[hidden, -1] = own[hidden, 0]
    order = np.argsort(neighbours.rows != own, axis=1, kind="stable")
    return Neighbours(
        rows=np.take_along_axis(neighbours.rows, order, axis=1),
        distances=np.take_along_axis(neighbours.distances, order, axis=1),
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit FAISS, numba, BLAS and OpenMP to one thread, and restore their settings afterwards."""
    import faiss
    import numba
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

    before = faiss.omp_get_max_threads(), numba.get_num_threads()
    try:
        with threadpool_limits(1):
            numba.set_num_threads(1)
            faiss.omp_set_num_threads(1)
            yield
    finally:
        numba.set_num_threads(before[1])  # first, since numba sets OpenMP's number as well where that is its layer
        faiss.omp_set_num_threads(before[0])


def _distances(candidates: Float, queries: Float) -> NDArray[np.float64]:
    """Compute the distances `m k` of each query `m c` to its candidates `m k c`."""
    difference = candidates - queries[:, None]
    squared: NDArray[np.float64] = np.einsum("mkc,mkc->mk", difference, difference, dtype=np.float64)
    return np.sqrt(squared)


def _flat(base: Float) -> Any:
    import faiss

    index = faiss.IndexFlatL2(base.shape[1])
    index.add(base)
    return index


def _inverted(base: Float, seed: int) -> Any:
    """Build an inverted file of about 4√n lists, a sixteenth of which is searched per query."""
    import faiss

    lists = int(4 * len(base) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(base.shape[1]), base.shape[1], lists, faiss.METRIC_L2)
    index.cp.seed = seed & 0x7FFFFFFF
    index.cp.min_points_per_centroid = 1
    index.train(base)
    index.add(base)
    index.nprobe = max(8, lists // 16)
    return index
