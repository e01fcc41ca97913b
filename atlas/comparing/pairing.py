"""Find the samples that two runs share: the same image at the same position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Int


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The image and position of each of `n` samples, the image by the hash of its key: ids may differ between sources."""

    key_hash: NDArray[np.uint64]
    y: NDArray[np.int32]
    x: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.key_hash)


def shared_rows(a: Places, b: Places) -> tuple[Int, Int]:
    """Return the rows of `a` and of `b` that are the same sample, in the order of `a`.

    If a position was sampled several times, the first is paired with the first, the second with the second.
    """
    columns = [np.concatenate([getattr(a, name), getattr(b, name)]) for name in ("key_hash", "y", "x")]
    columns.append(np.concatenate([_occurrences(a), _occurrences(b)]))
    side = np.repeat([0, 1], [len(a), len(b)])
    order = np.lexsort((side, *columns[::-1]))
    same = side[order[1:]] > side[order[:-1]]
    for column in columns:
        same &= column[order[1:]] == column[order[:-1]]
    rows, others = order[:-1][same], order[1:][same] - len(a)
    by_row = np.argsort(rows)
    return rows[by_row].astype(np.int64), others[by_row].astype(np.int64)


def _occurrences(places: Places) -> Int:
    """Number the samples of each position in the order of their rows: 0 for the first, 1 for the second."""
    columns = (places.key_hash, places.y, places.x)
    order = np.lexsort(columns[::-1])
    new = np.ones(len(order), np.bool_)
    new[1:] = np.any([column[order[1:]] != column[order[:-1]] for column in columns], axis=0)
    place = np.arange(len(order))
    number = np.empty(len(order), np.int64)
    number[order] = place - np.maximum.accumulate(np.where(new, place, 0))
    return number
