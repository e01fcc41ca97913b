"""Select the strongest patches of every unit in one total order, and merge selections as a monoid.

Order: value (best first), then the image's key hash, then y, then x. `merge` is associative, commutative and
idempotent, so shards may be computed anywhere, in any order, twice. NaN and infinities are excluded; −0.0 is 0.0.
`torch.topk` is unsuitable: it is not stable and puts NaN first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import CAPACITY, Float, Int, TopK

FIELDS = ("value", "image_id", "key_hash", "y", "x")


def empty(units: int, sign: str, capacity: int = CAPACITY) -> TopK:
    """Return the identity of `merge`: no patches."""
    return TopK.empty(units, sign, capacity)


def select(
    values: Float,
    image_id: Int,
    key_hash: NDArray[np.uint64],
    y: NDArray[np.int32],
    x: NDArray[np.int32],
    sign: str,
    capacity: int = CAPACITY,
) -> TopK:
    """Return the best `capacity` of the candidates `n units`; image_id and key_hash are `n`, y and x are `n units`.

    Several candidates of one image must be in row-major order of their positions. Non-finite values are left out.
    """
    # With the images ordered by hash, one stable sort by value gives the total order.
    rows = np.lexsort((image_id, key_hash))
    values = np.ascontiguousarray(values[rows].T)
    order = np.argsort(_score(values, sign), axis=1, kind="stable")[:, :capacity]
    unit = np.arange(values.shape[0])[:, None]
    chosen = TopK(
        value=values[unit, order],
        image_id=image_id[rows][order],
        key_hash=key_hash[rows][order],
        y=y[rows[order], unit].astype(np.int32),
        x=x[rows[order], unit].astype(np.int32),
    )
    return _cut_or_pad(clear(chosen, ~np.isfinite(chosen.value), sign), sign, capacity)


def merge(parts: Iterable[TopK], sign: str, capacity: int = CAPACITY) -> TopK:
    """Return the best of several parts; a patch that occurs in more than one counts once."""
    parts = list(parts)
    joined = TopK(**{name: np.concatenate([getattr(part, name) for part in parts], axis=1) for name in FIELDS})
    keys = (joined.image_id, joined.x, joined.y, joined.key_hash, _score(joined.value, sign))
    ordered = _reorder(joined, np.lexsort(keys, axis=1))
    leave_out = _repeats(ordered) | ~np.isfinite(ordered.value)
    order = np.argsort(leave_out, axis=1, kind="stable")
    packed = clear(_reorder(ordered, order), np.take_along_axis(leave_out, order, axis=1), sign)
    return _cut_or_pad(packed, sign, capacity)


def _score(values: Float, sign: str) -> Float:
    """Return scores that ascend from best to worst, non-finite values last, −0.0 as 0.0."""
    score = np.asarray((-values if sign == "positive" else values) + np.float32(0), dtype=np.float32)
    return np.where(np.isfinite(values), score, np.float32(np.inf))


def _repeats(ordered: TopK) -> NDArray[np.bool_]:
    """Mark each place that holds the same patch as the previous one."""
    repeated = np.zeros(ordered.value.shape, np.bool_)
    same = [getattr(ordered, name)[:, 1:] == getattr(ordered, name)[:, :-1] for name in ("image_id", "y", "x")]
    repeated[:, 1:] = np.logical_and.reduce(same)
    return repeated


def _reorder(top: TopK, order: NDArray[np.intp]) -> TopK:
    return _map_fields(top, lambda array: np.take_along_axis(array, order, axis=1))


def clear(top: TopK, where: NDArray[np.bool_], sign: str) -> TopK:
    """Empty the marked places, and turn every remaining −0.0 into 0.0."""
    nothing = empty(1, sign, 1)
    blanked = {name: np.where(where, getattr(nothing, name)[0, 0], getattr(top, name)) for name in FIELDS}
    return TopK(**(blanked | {"value": (blanked["value"] + np.float32(0)).astype(np.float32)}))


def _cut_or_pad(top: TopK, sign: str, capacity: int) -> TopK:
    """Cut or pad `units n` to `units capacity`."""
    units, n = top.value.shape
    if n >= capacity:
        return _map_fields(top, lambda array: np.ascontiguousarray(array[:, :capacity]))
    pad = empty(units, sign, capacity - n)
    return TopK(**{name: np.concatenate([getattr(top, name), getattr(pad, name)], axis=1) for name in FIELDS})


def _map_fields(top: TopK, function: Callable[[NDArray[Any]], NDArray[Any]]) -> TopK:
    return TopK(**{name: function(getattr(top, name)) for name in FIELDS})
