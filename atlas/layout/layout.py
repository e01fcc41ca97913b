"""Lay activations out on a plane, so that like lies by like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas import sampling
from atlas.arrays import Float, Int
from atlas.layout.alignment import Plane, follow, orient, register, to_square
from atlas.layout.methods import FEWEST, METHODS, Settings, principal
from atlas.layout.neighbours import Index, one_thread
from atlas.layout.out_of_sample import Plan
from atlas.layout.vectors import Vectors, vectors

ANCHORS = 20_000
"""Most vectors that the method itself draws; the others are placed among them."""

NEIGHBOURS = {"umap": 30, "tsne": 91, "pca": 1}
"""With the point itself; for t-SNE three times the usual perplexity of 30.

The published atlases use 50 with a minimum distance of 0.05 and umap-learn's repulsion of 1. On `_blocks.10` of 10,000
photographs that keeps a trustworthiness of 0.87 and fills 199 of 20 × 20 cells; these, with the distance and repulsion
below, 0.92 and 214, in less time (the even frame of `atlas.layout.alignment` makes that 269).
"""

MIN_DIST = 0.3

REPULSION = 12.0
"""Weight of UMAP's negative samples: more of it costs no time, and parts what only lies near by accident."""

WIDE = 256
"""Vectors of more dimensions than this are first projected on their `NARROW` principal axes."""

NARROW = 128

JUDGED = 3_000
"""Most samples that the trustworthiness is computed from: its memory is their number squared."""

JUDGING_NEIGHBOURS = 15

Keys = NDArray[np.int64] | NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where each sample lies, `n 2` (x, y) in the unit square, and how well that keeps neighbours.

    `anchors` are the rows that the method drew itself, ascending; `notes` say in words what was not done as asked.
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
) -> Layout:
    """Lay the vectors `n c` out by "umap", "tsne" or "pca"; `activations` may be a memmap and is read by chunks.

    At most `anchors` of them are drawn by the method: those with the smallest hash of seed and key, a sample that new
    data change little; `anchors_seed` is that seed where it is another one. `keys` name the vectors (by default their
    row numbers do). The others lie among the nearest anchors; equal vectors share a place. With distinct keys a vector's
    place does not depend on the order of the rows, and the same call gives the same bytes in any process on one machine.

    `metric` is "cosine" or "euclidean". `start`, `n 2`, is an earlier layout of the same vectors in the unit square
    (NaN for new ones): the drawing begins there, and is moved, turned, scaled and bent back onto it.

    Raises ValueError for vectors with NaN or infinities, naming the first.
    """
    _check(activations, method, metric, anchors, neighbours, keys, start)
    given = vectors(activations, cosine=metric == "cosine")
    names = np.arange(given.n) if keys is None else keys
    if not given.n:
        return Layout(
            points=np.zeros((0, 2), np.float32), trustworthiness=None, anchors=np.zeros(0, np.int64), notes=()
        )
    with one_thread():
        order = mix(names, seed if anchors_seed is None else anchors_seed)
        chosen = _choose(given, np.argsort(order, kind="stable")[:anchors])
        enough = len(chosen.base) >= FEWEST
        settings = Settings(
            neighbours=neighbours or NEIGHBOURS[method],
            min_dist=min_dist,
            repulsion=repulsion,
            cosine=given.cosine,
            again=start is not None,
            seed=seed & 0xFFFFFFFF,
        )
        everywhere = _draw(chosen, method if enough else "pca", settings, start)
        points = to_square(everywhere) if start is None else _back_onto(start, everywhere)
        score = _judge(given, points, mix(names, seed + 1)) if enough else None
    few = () if enough or method == "pca" else (f"only {len(chosen.base)} different vectors: laid out by PCA",)
    return Layout(points=points, trustworthiness=score, anchors=np.sort(chosen.rows), notes=(*chosen.notes, *few))


def mix(keys: Keys, seed: int) -> NDArray[np.uint64]:
    """Hash each key with the seed to 64 bits."""
    with np.errstate(over="ignore"):
        return sampling.mix(
            np.asarray(keys).astype(np.uint64) + np.uint64((seed * sampling.GOLDEN) & 0xFFFFFFFFFFFFFFFF)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """The different vectors among the anchors, `a c`, in the order of their hash, with the rows they stand in."""

    vectors: Vectors
    rows: Int
    base: Float
    notes: tuple[str, ...]


def _choose(given: Vectors, rows: Int) -> _Chosen:
    """Take each different vector among those rows once, projected where they have more than `WIDE` dimensions."""
    notes: tuple[str, ...] = ()
    base = given.take(rows)
    if base.shape[1] > WIDE:
        mean, directions, held = principal(base, NARROW)
        given = given.along(mean, directions)
        base = given.take(rows)
        notes = (f"neighbours on the first {NARROW} principal axes, which hold {held:.1%} of the variance",)
    first = np.sort(np.unique(base, axis=0, return_index=True)[1])
    return _Chosen(vectors=given, rows=rows[first], base=base[first], notes=notes)


def _draw(chosen: _Chosen, method: str, settings: Settings, start: Float | None) -> Plane:
    """Draw the anchors, then put every vector in its place, `n 2`, in no particular frame."""
    mean, directions, _ = principal(chosen.base)
    axes = (chosen.base - mean) @ directions.T
    begin = axes if start is None else _begin(chosen.base, axes, start[chosen.rows])
    if method == "pca":
        return np.concatenate([(chunk - mean) @ directions.T for chunk in chosen.vectors.chunks()])
    drawn = METHODS[method](chosen.base, begin, settings)
    drawn = orient(drawn, axes) if start is None else drawn
    plan = Plan(index=Index(chosen.base), places=drawn)
    everywhere = np.concatenate(list(plan.place(chosen.vectors.chunks())))
    everywhere[chosen.rows] = drawn
    return everywhere


def _begin(base: Float, axes: Plane, start: Float) -> Plane:
    """Begin where an earlier layout says, and put what it does not know among what it does."""
    known = np.isfinite(start).all(axis=1)
    if not known.any():
        return axes
    begin = start.astype(np.float64)
    if not known.all():
        plan = Plan(index=Index(base[known]), places=begin[known])
        begin[~known] = np.concatenate(list(plan.place(iter([base[~known]]))))
    return begin


def _back_onto(start: Float, everywhere: Plane) -> Float:
    """Bring a layout back onto an earlier one by the vectors that both have."""
    known = np.isfinite(start).all(axis=1)
    if not known.any():
        return to_square(everywhere)
    onto = start[known].astype(np.float64)
    moved = register(everywhere[known], onto, everywhere)
    return np.clip(follow(moved[known], onto, moved), 0, 1).astype(np.float32)


def _judge(given: Vectors, points: Float, order: NDArray[np.uint64]) -> float | None:
    """Compute the trustworthiness of a layout by scikit-learn, on at most `JUDGED` of its points, by hash."""
    from sklearn.manifold import trustworthiness

    rows = np.argsort(order, kind="stable")[:JUDGED]
    k = min(JUDGING_NEIGHBOURS, (len(rows) - 1) // 2)
    if k < 1:
        return None
    # Of unit vectors the Euclidean order is the cosine's.
    return float(trustworthiness(given.take(rows), points[rows], n_neighbors=k))


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
