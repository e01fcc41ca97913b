"""Lay a limited number of vectors out in the plane: UMAP, t-SNE or PCA, seeded and in one thread."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float
from atlas.layout.compiled import compiled_once
from atlas.layout.neighbours import Neighbours, graph

MIN_DISTINCT = 12
"""Below this many distinct vectors there are no neighbourhoods to preserve, and every method returns the PCA."""

RESTART_LEARNING_RATE = 0.1
"""UMAP's learning rate when starting from an earlier layout: with 5 % of noise added, 2,000 real samples then move by
0.02 of the square in the median (0.05 at the usual rate of 1; 0.2 without the earlier layout), as trustworthy as before."""

PERPLEXITY = 3
"""Neighbours per unit of t-SNE's perplexity, as in van der Maaten's implementation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a method; `neighbours` counts the point itself, as UMAP does.

    `restart`: the start is an earlier layout, to be preserved as far as it is still right.
    """

    neighbours: int
    min_dist: float
    repulsion: float
    cosine: bool
    restart: bool
    seed: int


def umap(vectors: Float, start: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    """Lay `vectors`, `n c`, out by UMAP from the points `start`, `n 2` (McInnes et al. 2018)."""
    with compiled_once():
        from umap import UMAP
    from tqdm import tqdm

    # UMAP makes a bar that it does not show, and tqdm a lock for it that a worker which is stopped would leave behind.
    tqdm.set_lock(threading.RLock())
    neighbours = _graph(vectors, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that a seed forces one thread, which is intended
        model = UMAP(
            n_neighbors=neighbours.rows.shape[1],
            min_dist=settings.min_dist,
            repulsion_strength=settings.repulsion,
            learning_rate=RESTART_LEARNING_RATE if settings.restart else 1.0,
            metric="euclidean",  # never computed: the neighbours are given
            precomputed_knn=(neighbours.rows.astype(np.int32), neighbours.distances),
            disconnection_distance=np.inf,
            init=_spread(start, 10.0, settings.seed),
            random_state=settings.seed,
            n_jobs=1,
        )
        drawn: NDArray[np.float64] = model.fit_transform(vectors).astype(np.float64)
    return drawn


def tsne(vectors: Float, start: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    """Lay `vectors`, `n c`, out by t-SNE from the points `start`, `n 2`, scaled down (openTSNE's defaults)."""
    from openTSNE import TSNE
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    neighbours = _graph(vectors, settings)
    others = neighbours.rows.shape[1] - 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        affinities = PerplexityBasedNN(
            knn_index=PrecomputedNeighbors(neighbours.rows[:, 1:], neighbours.distances[:, 1:].astype(np.float64)),
            perplexity=max(1.0, others / PERPLEXITY),
            n_jobs=1,
        )
        drawn = TSNE(n_jobs=1, random_state=settings.seed).fit(
            affinities=affinities, initialization=_spread(start, 1e-4, settings.seed).astype(np.float64)
        )
    return np.asarray(drawn, dtype=np.float64)


def pca(vectors: Float, start: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    """Return the start itself: the coordinates on the principal axes."""
    return start


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One algorithm: its function, and how many neighbours it looks at, the point itself included."""

    place: Callable[[Float, NDArray[np.float64], Settings], NDArray[np.float64]]
    neighbours: int


METHODS = {
    "umap": Method(place=umap, neighbours=30),
    "tsne": Method(place=tsne, neighbours=91),  # three times the usual perplexity of 30
    "pca": Method(place=pca, neighbours=1),
}
"""The algorithms; `flows.registry` names their libraries, and `flows.stages.layout` their rates."""


def principal(vectors: Float, axes: int = 2) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Find the principal axes of `vectors`, `n c`: mean `c`, directions `axes c`, share of the variance they hold.

    Each direction's loading of largest magnitude is positive. Axes that the data lack are zero.
    """
    from sklearn.decomposition import PCA

    mean, directions = vectors.mean(axis=0, dtype=np.float64), np.zeros((axes, vectors.shape[1]))
    possible = min(axes, *vectors.shape)
    if len(vectors) < 2:
        return mean, directions, 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant data have no shares of a variance
        solver = "covariance_eigh" if vectors.shape[1] <= len(vectors) else "full"
        model = PCA(possible, svd_solver=solver).fit(vectors.astype(np.float64) - mean)
    held = model.explained_variance_ > 0
    directions[:possible][held] = model.components_[held]
    return mean, directions, float(np.nan_to_num(model.explained_variance_ratio_.sum(), nan=1.0))


def _graph(vectors: Float, settings: Settings) -> Neighbours:
    """Find the neighbours of every vector; for unit vectors, half the squared distance is one minus the cosine."""
    neighbours = graph(vectors, settings.neighbours, seed=settings.seed)
    if not settings.cosine:
        return neighbours
    return Neighbours(rows=neighbours.rows, distances=(neighbours.distances**2 / 2).astype(np.float32))


def _spread(start: NDArray[np.float64], size: float, seed: int) -> Float:
    """Scale points so that the largest coordinate is `size`, and add noise of 1e-5 of it, as umap-learn does.

    The noise separates equal points and gives a flat axis some width, which umap-learn divides by.
    """
    largest = np.abs(start).max()
    noise = np.random.default_rng(seed).normal(0, 1e-5 * size, start.shape)
    return (start * (size / largest if largest > 0 else 0) + noise).astype(np.float32)
