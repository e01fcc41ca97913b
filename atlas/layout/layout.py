"""Lay activations out on a plane, similar ones close together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas import sampling
from atlas.arrays import Float, Int
from atlas.layout.alignment import Plane, match_quantiles, orient, register, to_square
from atlas.layout.methods import METHODS, MIN_DISTINCT, Settings, principal
from atlas.layout.neighbours import Index, one_thread
from atlas.layout.out_of_sample import Anchors
from atlas.layout.vectors import Vectors, vectors

ANCHORS = 20_000
"""Most vectors that the method itself lays out; the others are placed among them."""

MIN_DIST = 0.3
"""The published atlases use 0.05, 50 neighbours and umap-learn's repulsion of 1. On `_blocks.10` of 10,000 photographs that
gives a trustworthiness of 0.87 and fills 199 of 20 × 20 cells; this, with the repulsion below and 30 neighbours, 0.92 and
214, in less time (269 after the evening-out of `atlas.layout.alignment`).
"""

REPULSION = 12.0
"""Weight of UMAP's negative samples: a higher one costs no time and separates points that are close by accident."""

MAX_DIMENSIONS = 256
"""Vectors of more dimensions than this are first projected onto their `PRINCIPAL_AXES` principal axes."""

PRINCIPAL_AXES = 128

TRUSTWORTHINESS_SAMPLES = 3_000
"""Most samples for computing the trustworthiness: its memory grows with their square."""

TRUSTWORTHINESS_NEIGHBOURS = 15

Keys = NDArray[np.int64] | NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The points of the samples, `n 2` (x, y) in the unit square, and how well they preserve neighbours.

    `anchors` are the rows that the method itself laid out, ascending; `notes` name deviations from the settings.
    """

    points: Float
    trustworthiness: float | None
    anchors: Int
    notes: tuple[str, ...]


def layout(
    activations: Float,
    *,
    method: str = "umap",
    seed: int = 0,
    anchors: int = ANCHORS,
    anchors_seed: int | None = None,
    keys: Keys | None = None,
    neighbours: int | None = None,
    min_dist: float = MIN_DIST,
    repulsion: float = REPULSION,
    metric: str = "cosine",
    start: Float | None = None,
    across: Float | None = None,
) -> Layout:
    """Lay the vectors `n c` out by "umap", "tsne" or "pca"; `activations` may be a memmap and is read by chunks.

    At most `anchors` of them are laid out by the method: those with the smallest hash of seed and key, a sample that new
    data change little; `anchors_seed` overrides that seed. `keys` identify the vectors (by default their row numbers).
    The others are placed among the nearest anchors; equal vectors share a point. With distinct keys a vector's point
    does not depend on the order of the rows, and the same call gives the same bytes in any process on one machine.

    `metric` is "cosine" or "euclidean". `start`, `n 2`, is an earlier layout of the same vectors in the unit square
    (NaN for new ones): the method starts from it, and its result is translated, rotated, scaled and bent to match it.
    `across`, `n` from 0 to 1, replaces the first coordinate of the result.

    Raises ValueError for vectors with NaN or infinities, naming the first.
    """
    _check(activations, method, metric, anchors, neighbours, keys, start)
    prepared = vectors(activations, cosine=metric == "cosine")
    row_keys = np.arange(prepared.n) if keys is None else keys
    if not prepared.n:
        return Layout(
            points=np.zeros((0, 2), np.float32), trustworthiness=None, anchors=np.zeros(0, np.int64), notes=()
        )
    with one_thread():
        order = hash_keys(row_keys, seed if anchors_seed is None else anchors_seed)
        distinct = _distinct(prepared, np.argsort(order, kind="stable")[:anchors])
        enough = len(distinct.base) >= MIN_DISTINCT
        settings = Settings(
            neighbours=neighbours or METHODS[method].neighbours,
            min_dist=min_dist,
            repulsion=repulsion,
            cosine=prepared.cosine,
            restart=start is not None,
            seed=seed & 0xFFFFFFFF,
        )
        drawn_points = _draw(distinct, method if enough else "pca", settings, start)
        points = to_square(drawn_points) if start is None else _align_with_start(start, drawn_points)
        points = points if across is None else np.stack([across.astype(np.float32), points[:, 1]], axis=1)
        score = _trustworthiness(prepared, points, hash_keys(row_keys, seed + 1)) if enough else None
    few = () if enough or method == "pca" else (f"only {len(distinct.base)} different vectors: laid out by PCA",)
    return Layout(points=points, trustworthiness=score, anchors=np.sort(distinct.rows), notes=(*distinct.notes, *few))


def hash_keys(keys: Keys, seed: int) -> NDArray[np.uint64]:
    """Hash each key with the seed to 64 bits."""
    with np.errstate(over="ignore"):
        return sampling.mix(
            np.asarray(keys).astype(np.uint64) + np.uint64((seed * sampling.GOLDEN) & 0xFFFFFFFFFFFFFFFF)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Distinct:
    """The distinct vectors among the anchors, `a c`, in the order of their hash, with their rows."""

    vectors: Vectors
    rows: Int
    base: Float
    notes: tuple[str, ...]


def _distinct(prepared: Vectors, rows: Int) -> _Distinct:
    """Take each distinct vector among those rows once, projected if they have more than `MAX_DIMENSIONS`."""
    notes: tuple[str, ...] = ()
    base = prepared.take(rows)
    if base.shape[1] > MAX_DIMENSIONS:
        mean, directions, held = principal(base, PRINCIPAL_AXES)
        prepared = prepared.along(mean, directions)
        base = prepared.take(rows)
        notes = (f"neighbours on the first {PRINCIPAL_AXES} principal axes, which hold {held:.1%} of the variance",)
    first = np.sort(np.unique(base, axis=0, return_index=True)[1])
    return _Distinct(vectors=prepared, rows=rows[first], base=base[first], notes=notes)


def _draw(distinct: _Distinct, method: str, settings: Settings, start: Float | None) -> Plane:
    """Lay out the anchors, then place every vector, `n 2`, in an arbitrary frame."""
    mean, directions, _ = principal(distinct.base)
    axes = (distinct.base - mean) @ directions.T
    begin = axes if start is None else _initial_points(distinct.base, axes, start[distinct.rows])
    if method == "pca":
        return np.concatenate([(chunk - mean) @ directions.T for chunk in distinct.vectors.chunks()])
    drawn = METHODS[method].place(distinct.base, begin, settings)
    drawn = orient(drawn, axes) if start is None else drawn
    anchors = Anchors(index=Index(distinct.base), places=drawn)
    drawn_points = np.concatenate(list(anchors.place(distinct.vectors.chunks())))
    drawn_points[distinct.rows] = drawn
    return drawn_points


def _initial_points(base: Float, axes: Plane, start: Float) -> Plane:
    """Start from an earlier layout, and place vectors it lacks among those it has."""
    known = np.isfinite(start).all(axis=1)
    if not known.any():
        return axes
    begin = start.astype(np.float64)
    if not known.all():
        anchors = Anchors(index=Index(base[known]), places=begin[known])
        begin[~known] = np.concatenate(list(anchors.place(iter([base[~known]]))))
    return begin


def _align_with_start(start: Float, drawn_points: Plane) -> Float:
    """Align a layout with an earlier one by the vectors in both."""
    known = np.isfinite(start).all(axis=1)
    if not known.any():
        return to_square(drawn_points)
    onto = start[known].astype(np.float64)
    moved = register(drawn_points[known], onto, drawn_points)
    return np.clip(match_quantiles(moved[known], onto, moved), 0, 1).astype(np.float32)


def _trustworthiness(prepared: Vectors, points: Float, order: NDArray[np.uint64]) -> float | None:
    """Compute the trustworthiness of a layout by scikit-learn, on at most `JUDGED` of its points, by hash."""
    from sklearn.manifold import trustworthiness

    rows = np.argsort(order, kind="stable")[:TRUSTWORTHINESS_SAMPLES]
    k = min(TRUSTWORTHINESS_NEIGHBOURS, (len(rows) - 1) // 2)
    if k < 1:
        return None
    # For unit vectors, Euclidean and cosine order are the same.
    return float(trustworthiness(prepared.take(rows), points[rows], n_neighbors=k))


def _check(
    activations: Float,
    method: str,
    metric: str,
    anchors: int,
    neighbours: int | None,
    keys: Keys | None,
    start: Float | None,
) -> None:
    if activations.ndim != 2 or not activations.shape[1]:
        raise ValueError(f"a layout needs vectors of shape (n, c) with c ≥ 1, not {activations.shape}")
    if method not in METHODS:
        raise ValueError(f"no layout method {method!r}; there are {', '.join(METHODS)}")
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f"no metric {metric!r}; there are cosine, euclidean")
    if anchors < 1:
        raise ValueError(f"a layout needs at least one anchor, not {anchors}")
    if neighbours is not None and neighbours < 2:
        raise ValueError(f"a layout needs at least 2 neighbours, the vector itself being the first, not {neighbours}")
    if keys is not None and len(keys) != len(activations):
        raise ValueError(f"{len(keys)} keys for {len(activations)} vectors")
    if start is not None and start.shape != (len(activations), 2):
        raise ValueError(f"start has the shape {start.shape}, not ({len(activations)}, 2)")
