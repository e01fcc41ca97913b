"""Place the samples of two sets of images on the map of the first, both as if they were new to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int, Samples
from atlas.comparing.drift import Double
from atlas.layout.locate import anchors
from atlas.layout.neighbours import BYTES, Index, Neighbours, one_thread
from atlas.layout.out_of_sample import NEAREST, Anchors, vote, weights
from atlas.layout.vectors import CHUNK, Vectors, vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

STRANGE = 0.99
"""Quantile of the distances of the first set's own samples beyond which a sample is unlike that set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The points `n 2` of samples on a map, and their mean distance `n` to the samples that place them."""

    points: Float
    distance: Double


def place_both(
    reference: Samples,
    points: Float,
    incoming: Samples,
    contents: tuple[Int, Int] | None = None,
    *,
    advance: Callable[[float], None] = lambda share: None,
) -> tuple[Placed, Placed]:
    """Place the samples of both sets among those of the first, `reference`, which lie at `points`, `n 2`.

    A sample of the first set is placed by the samples of its other images. At the point that the layout gave it, it
    would lie closer to its like than any new sample can, and two halves of one set would differ. `contents` number what
    each sample's image shows, in both sets; none is placed by a copy of its image, in whichever set it is itself.
    `advance` is told the share done.
    """
    base = anchors(iter([reference.activations]), points)
    if contents is None:
        contents = reference.image_id, np.full(len(incoming.y), -1, np.int64)
    first = len(reference.y) / (len(reference.y) + len(incoming.y))
    with one_thread():
        return (
            _place(base, reference.activations, contents[0], contents[0], lambda share: advance(share * first)),
            _place(
                base, incoming.activations, contents[0], contents[1], lambda share: advance(first + share * (1 - first))
            ),
        )


def _place(base: Anchors, activations: Float, owner: Int, image: Int, advance: Callable[[float], None]) -> Placed:
    """Place samples by the nearest anchors, `owner` being the anchors' images, that are not of the sample's `image`."""
    done = 0
    points, distances = np.zeros((len(activations), 2), np.float32), np.zeros(len(activations))
    for rows, near in _nearest_others(base.index, vectors(activations, cosine=True), owner, image):
        far = np.isinf(near.distances)
        votes = np.where(far, 0, weights(near))
        points[rows] = np.clip(vote(base.places[near.rows], votes, base.reach), 0, 1)
        distances[rows] = np.where(far, 0, near.distances).sum(axis=1) / np.maximum(1, (~far).sum(axis=1))
        done += len(rows)
        advance(done / len(activations))
    return Placed(points=points, distance=distances)


def _nearest_others(
    index: Index, prepared: Vectors, owner: Int, image: Int
) -> Iterator[tuple[NDArray[np.int64], Neighbours]]:
    """Yield rows of `prepared` with their nearest neighbours that are of another image, a part at a time.

    `owner` are the images of the neighbours, `image` those of the rows. Rows whose image has many samples look at as
    many more candidates, so that they are searched apart, and few at a time.
    """
    names, counts = np.unique(owner, return_counts=True)
    place = np.minimum(np.searchsorted(names, image), len(names) - 1)
    own = np.where(names[place] == image, counts[place], 0)
    several = np.ceil(np.log2(np.maximum(own, 1))).astype(np.int64)
    for power in np.unique(several):
        rows = np.flatnonzero(several == power)
        most = int(own[rows].max())
        step = max(1, min(CHUNK, BYTES // (64 * (NEAREST + most))))
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            yield part, _others(index.search(prepared.take(part), NEAREST + most), owner, image[part])


def _others(near: Neighbours, owner: Int, image: Int) -> Neighbours:
    """Keep the nearest anchors of other images; where there are too few, the rest are infinitely far."""
    mine = owner[near.rows] == image[:, None]
    order = np.argsort(mine, axis=1, kind="stable")[:, :NEAREST]
    distances = np.where(mine, np.inf, near.distances)
    return Neighbours(
        rows=np.take_along_axis(near.rows, order, axis=1), distances=np.take_along_axis(distances, order, axis=1)
    )


def neighbour_graph(activations: Float, image: Int, images: int, content: Int | None = None) -> csr_matrix:
    """Return which share of the nearest neighbours of each image's samples is of each image, `images images`.

    `image` is that of the samples, `n`, and `content` what their images show. Neighbours are of other contents.
    """
    from scipy.sparse import csr_matrix

    shown = image if content is None else content
    prepared = vectors(activations, cosine=True)
    sizes = np.bincount(image, minlength=images) * NEAREST
    graph = csr_matrix((images, images))
    with one_thread():
        index = Index(prepared.take(np.arange(prepared.n)))
        for rows, near in _nearest_others(index, prepared, shown, shown):
            edge = np.isfinite(near.distances)
            start = np.broadcast_to(image[rows][:, None], edge.shape)[edge]
            graph += csr_matrix((1 / sizes[start], (start, image[near.rows][edge])), shape=(images, images))
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
    order = np.argsort(image, kind="stable")
    starts = np.searchsorted(image[order], np.arange(images + 1))
    averaged = np.empty((images, activations.shape[1]), np.float32)
    first = 0
    while first < images:  # as many images at a time as have a chunk of samples, one at least
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + CHUNK, "right")) - 1)
        values = activations[order[starts[first] : starts[last]]].astype(np.float64)
        sums = np.add.reduceat(values, starts[first:last] - starts[first], axis=0)
        averaged[first:last] = sums / np.diff(starts[first : last + 1])[:, None]
        first = last
    return averaged
