"""The peaks of a layer: the best value of each unit in each image, and its position, from runs made `--keep peaks`.

A shard's arrays lie unit by unit, so that one unit is read without the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.arrays import SIGNS, Peaks
from storage.artefacts import arrays, tables
from storage.artefacts.arrays import SHARD_CHUNKS
from storage.store.results import Result

GROUP, IMAGES = "peaks.zarr", "images.parquet"
CHUNK = 8
"""Units in a chunk, at least; more where a layer has so many that a file would not hold them."""

FIELDS = ("value", "image_id", "key_hash", "y", "x")


def write(folder: Path, peaks: Peaks, width: int) -> None:
    """Write one shard's peaks; `width` is that of the layer's grid."""
    place = peaks.y * width + peaks.x
    place = place.astype(np.uint16 if place.max(initial=0) < 1 << 16 else np.uint32)
    rows = max(CHUNK, math.ceil(len(place) / SHARD_CHUNKS))
    arrays.write_group(folder / GROUP, {"value": peaks.value, "place": place}, chunk_rows=rows)
    tables.write_table(folder / IMAGES, pa.table({"image_id": peaks.image_id, "key_hash": peaks.key_hash}))


def read(part: Result, units: slice = slice(None)) -> Peaks:
    """Read one shard's peaks of some units."""
    images = tables.read_table(part.file(IMAGES))
    place = arrays.read_array(part.file(GROUP), "place", units).astype(np.int32)
    y, x = np.divmod(place, np.int32(part.counts["width"]))
    return Peaks(
        image_id=images["image_id"].to_numpy(),
        key_hash=images["key_hash"].to_numpy(),
        value=arrays.read_array(part.file(GROUP), "value", units),
        y=y,
        x=x,
    )


def values(parts: Iterable[Result], units: slice) -> Iterator[NDArray[np.float32]]:
    """Yield the values of some units, `units signs n`, one shard at a time."""
    for part in parts:
        yield arrays.read_array(part.file(GROUP), "value", units)


def strongest(
    parts: Iterable[Result], unit: int, sign: str, k: int, images: Sequence[int] | None
) -> dict[str, np.ndarray]:
    """Return the best `k` of one unit's peaks in these images, or in all, in the total order: value, key hash, y, x."""
    chosen = None if images is None else np.unique(np.asarray(images, np.int64))
    best: dict[str, np.ndarray] = {}
    for part in parts:
        further = _of_images(part, unit, sign, chosen)
        joined = {name: np.concatenate([best[name], further[name]]) for name in FIELDS} if best else further
        score = -joined["value"] if sign == "positive" else joined["value"]
        order = np.lexsort((joined["x"], joined["y"], joined["key_hash"], score))[:k]
        best = {name: column[order] for name, column in joined.items()}
    return best


def _of_images(part: Result, unit: int, sign: str, chosen: NDArray[np.int64] | None) -> dict[str, np.ndarray]:
    """Read one unit's finite peaks in the chosen images of a shard; open no array where it has none of them."""
    ids = tables.read_table(part.file(IMAGES), ["image_id"])["image_id"].to_numpy()
    keep = np.ones(len(ids), np.bool_) if chosen is None else np.isin(ids, chosen)
    if not keep.any():
        return {name: np.zeros(0, kind) for name, kind in zip(FIELDS, ("f4", "i8", "u8", "i4", "i4"), strict=True)}
    peaks, number = read(part, slice(unit, unit + 1)), SIGNS.index(sign)
    keep &= np.isfinite(peaks.value[0, number])
    columns = {name: getattr(peaks, name)[0, number] for name in ("value", "y", "x")}
    columns |= {"image_id": peaks.image_id, "key_hash": peaks.key_hash}
    return {name: columns[name][keep] for name in FIELDS}
