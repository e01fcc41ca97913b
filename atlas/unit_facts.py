"""Derive facts of a unit from its layer's samples and patches: distribution, examples over its range, similar units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas import sampling
from atlas.arrays import Float, Int, Samples
from atlas.layout.neighbours import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """The range of a unit's samples in equal intervals: `edges` `n+1`, the `count` in each, and rows of some samples."""

    edges: NDArray[np.float64]
    count: Int
    rows: list[Int]


def intervals(values: Float, parts: int, rows_each: int) -> Intervals:
    """Cut the range of `values`, `n`, into equal intervals, with up to `rows_each` rows from each.

    As in sae_vis (Callum McDougall 2024), but over both signs. A value on an edge belongs above it, the largest to the
    last interval. The rows are those whose number has the lowest hash, strongest first: random but reproducible. If all
    values are equal there is one interval.
    """
    if not len(values):
        return Intervals(edges=np.zeros(1), count=np.zeros(0, np.int64), rows=[])
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, parts + 1 if high > low else 2)
    part = np.clip(np.searchsorted(edges, values, "right") - 1, 0, len(edges) - 2)
    drawn = np.argsort(sampling.mix(np.arange(len(values), dtype=np.uint64)), kind="stable")
    chosen = [drawn[part[drawn] == number][:rows_each] for number in range(len(edges) - 1)]
    rows = [rows[np.argsort(-values[rows], kind="stable")].astype(np.int64) for rows in chosen]
    return Intervals(edges=edges, count=np.bincount(part, minlength=len(edges) - 1), rows=rows)


def histogram(values: Float, bins: int) -> tuple[Int, NDArray[np.float64]]:
    """Count `values` in equal bins over their range; return counts and edges. One bin if all values are equal."""
    bins_found = intervals(values, bins, 0)
    return bins_found.count, bins_found.edges


def entropy(counts: NDArray[np.integer]) -> float:
    """Return the entropy of label counts in bits: 0 if all labels are the same."""
    share = counts[counts > 0] / max(1, counts.sum())
    return float(-(share * np.log2(share)).sum()) + 0.0


def image_means(samples: Samples) -> Float:
    """Return each unit's mean over the samples of each image, `units images`, images ordered by id."""
    ids, place = np.unique(samples.image_id, return_inverse=True)
    if len(ids) == len(place):
        return np.ascontiguousarray(samples.activations[np.argsort(place)].T)
    order = np.argsort(place, kind="stable")
    first = np.searchsorted(place[order], np.arange(len(ids)))
    sums = np.add.reduceat(samples.activations[order].astype(np.float64), first, axis=0)
    return np.ascontiguousarray((sums / np.bincount(place)[:, None]).T.astype(np.float32))


def similar_units(means: Float, unit: int, k: int) -> tuple[Int, Float]:
    """Return the k units whose image means, `units images`, have the largest cosine to a unit's, and the cosines.

    Units that are zero everywhere are similar to none.
    """
    length = np.linalg.norm(means, axis=1)
    live = np.flatnonzero(length > 0)
    if not length[unit] or len(live) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    directions = (means[live] / length[live, None]).astype(np.float32)
    neighbours = Index(directions).search(directions[live == unit], k + 1)
    rows, cosine = live[neighbours.rows[0]], 1 - neighbours.distances[0] ** 2 / 2
    others = np.flatnonzero(rows != unit)[:k]
    return rows[others], cosine[others].astype(np.float32)


def units_sharing_images(image_id: Int, unit: int, k: int) -> tuple[Int, Float]:
    """Return the k units that share most of a unit's strongest images, and the shares; those with none are left out.

    `image_id` is `units n`, −1 for an empty place. Equal shares are in the order of the units.
    """
    own = np.unique(image_id[unit][image_id[unit] >= 0])
    if not len(own):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    common = np.sum([(image_id == image).any(axis=1) for image in own], axis=0)
    common[unit] = 0
    best = np.argsort(-common, kind="stable")[:k]
    best = best[common[best] > 0]
    return best.astype(np.int64), (common[best] / len(own)).astype(np.float32)


def weighted_correlation(values: Float, others: Float, weight: NDArray[np.integer]) -> Float:
    """Return the weighted correlation of `values`, `n`, with each column of `others`, `n k`; 0 if either is constant."""
    share = weight / max(1, weight.sum())
    a = values - share @ values.astype(np.float64)
    b = others - share @ others.astype(np.float64)
    spread = np.sqrt((share @ a**2) * (share @ b**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = (share * a) @ b / spread
    return np.where(spread > 0, correlation, 0.0).astype(np.float32)
