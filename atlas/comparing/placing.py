"""Place the samples of two sets of images on the map of the first, both as if they were new to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from atlas.arrays import Float, Int, Samples
from atlas.comparing.drift import Double
from atlas.layout.locate import anchors
from atlas.layout.neighbours import Index, Neighbours, one_thread
from atlas.layout.out_of_sample import NEAREST, Anchors, vote, weights
from atlas.layout.vectors import vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

STRANGE = 0.99
"""Quantile of the distances of the first set's own samples beyond which a sample is unlike that set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The points `n 2` of samples on a map, and their mean distance `n` to the samples that place them."""

    points: Float
    distance: Double


def place_both(reference: Samples, points: Float, incoming: Samples) -> tuple[Placed, Placed]:
    """Place the samples of both sets among those of the first, `reference`, which lie at `points`, `n 2`.

    A sample of the first set is placed by the samples of its other images. At the point that the layout gave it, it
    would lie closer to its like than any new sample can, and two halves of one set would differ.
    """
    base = anchors(iter([reference.activations]), points)
    with one_thread():
        return (
            _place(base, reference.activations, reference.image_id, reference.image_id),
            _place(base, incoming.activations, reference.image_id, np.full(len(incoming.y), -1, np.int64)),
        )


def _place(base: Anchors, activations: Float, owner: Int, image: Int) -> Placed:
    """Place samples by the nearest anchors, `owner` being the anchors' images, that are not of the sample's `image`."""
    own = int(np.bincount(owner).max()) if (image >= 0).any() else 0
    points, distances = [np.zeros((0, 2))], [np.zeros(0)]
    first = 0
    for chunk in vectors(activations, cosine=True).chunks():
        near = _others(base.index.search(chunk, NEAREST + own), owner, image[first : first + len(chunk)])
        far = np.isinf(near.distances)
        votes = np.where(far, 0, weights(near))
        points.append(vote(base.places[near.rows], votes, base.reach))
        distances.append(np.where(far, 0, near.distances).sum(axis=1) / np.maximum(1, (~far).sum(axis=1)))
        first += len(chunk)
    inside = np.clip(np.concatenate(points), 0, 1).astype(np.float32)
    return Placed(points=inside, distance=np.concatenate(distances))


def _others(near: Neighbours, owner: Int, image: Int) -> Neighbours:
    """Keep the nearest anchors of other images; where there are too few, the rest are infinitely far."""
    mine = owner[near.rows] == image[:, None]
    order = np.argsort(mine, axis=1, kind="stable")[:, :NEAREST]
    distances = np.where(mine, np.inf, near.distances)
    return Neighbours(
        rows=np.take_along_axis(near.rows, order, axis=1), distances=np.take_along_axis(distances, order, axis=1)
    )


def neighbour_graph(activations: Float, image: Int, images: int) -> csr_matrix:
    """Return which share of the nearest neighbours of each image's samples is of each image, `images images`.

    `image` is that of the samples, `n`. Neighbours are of other images.
    """
    from scipy.sparse import csr_matrix

    prepared, own = vectors(activations, cosine=True), int(np.bincount(image).max())
    sizes = np.bincount(image, minlength=images) * NEAREST
    graph = csr_matrix((images, images))
    with one_thread():
        index, first = Index(prepared.take(np.arange(prepared.n))), 0
        for chunk in prepared.chunks():
            mine = image[first : first + len(chunk)]
            near = _others(index.search(chunk, NEAREST + own), image, mine)
            edge = np.isfinite(near.distances)
            start = np.broadcast_to(mine[:, None], edge.shape)[edge]
            graph += csr_matrix((1 / sizes[start], (start, image[near.rows][edge])), shape=(images, images))
            first += len(chunk)
    return graph


def own_neighbours(graph: csr_matrix, labellings: Float) -> Double:
    """Return for each labelling, `m images`, the mean share of neighbours from an image's own set, `m`."""
    count = np.zeros(len(labellings))
    for side in (labellings, 1 - labellings):
        count += ((graph @ side.T).T * side).sum(axis=1)
    shares: Double = count / len(labellings.T)
    return shares


def shares(image: Int, column: Int, images: int, columns: int) -> csr_matrix:
    """Return the share of each image's samples that lie in each column, `images columns`; column −1 is none of them.

    `image` and `column` are those of the samples, `n`.
    """
    from scipy.sparse import csr_matrix

    sizes = np.bincount(image, minlength=images)
    kept = column >= 0
    values = 1 / sizes[image[kept]]
    return csr_matrix((values, (image[kept], column[kept])), shape=(images, columns))


def means(image: Int, activations: Float, images: int) -> Float:
    """Average the vectors `n c` of the samples of each image, `images c`."""
    from scipy.sparse import csr_matrix

    sizes = np.bincount(image, minlength=images)
    weight = csr_matrix((1 / sizes[image], (image, np.arange(len(image)))), shape=(images, len(image)))
    averaged: Float = np.asarray(weight @ activations.astype(np.float64), np.float32)
    return averaged
