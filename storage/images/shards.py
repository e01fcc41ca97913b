"""Split a listing, or chosen images of it, into shards: ranges of image ids, each processed by one task."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage import errors
from storage.images.formats import HEIF_DECODER, heif_version
from storage.images.left_out import HEIF_SUFFIXES
from storage.images.listing import about

_KEYED = ("image_id", "key_hash", "bytes", "stamp")
_HEIF_NAME = rf"\.({'|'.join(sorted(HEIF_SUFFIXES))})$"
_KEYED_1 = ("image_id", "key_hash", "offset", "length", "bytes", "mtime_ns", "removed")


Ids = NDArray[np.int64]
"""Image ids in ascending order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The images with first ≤ image_id < stop; `rows_key` changes with the images there and their content."""

    number: int
    first: int
    stop: int
    rows_key: str
    rows: pa.Table = field(repr=False, compare=False)
    """The shard's slice of the listing, removed images included."""


def living(listing: pa.Table, limit: int | None = None) -> pa.Table:
    """Return the rows of the first `limit` images that are still in the source."""
    return listing.filter(pc.invert(listing["removed"])).slice(0, limit)


def shards(
    listing: pa.Table, limit: int | None = None, shard_size: int = 512, key_of: Callable[[pa.Table], str] | None = None
) -> list[Shard]:
    """Split the first `limit` images that are still in the source into shards; those without an image are left out.

    Folders: ranges of `shard_size` ids. Tars and Parquet: whole containers, as many as it takes to reach `shard_size`
    images; one of at least twice that size is split into ranges of `shard_size`, the last with the remainder, so that no
    shard has 3 × `shard_size`. Removed images keep their place, a moved one that in its first container, and the bounds
    don't depend on the limit, so that more images only add shards and change the last one, if it was not full. `key_of` gives
    the key of a shard's rows, `rows_key` unless told.
    """
    if shard_size < 1 or (limit is not None and limit < 1):
        raise errors.UsageError(f"limit and shard size must be at least 1, not {limit} and {shard_size}")
    there = np.flatnonzero(~listing["removed"].to_numpy())
    count = len(listing) if limit is None or limit >= len(there) else int(there[limit - 1]) + 1
    bounds = [*(start for start in _starts(listing, shard_size) if start < count), count]
    used = np.searchsorted(there, bounds)
    return [
        _shard(i, first, listing.slice(first, stop - first), key_of or rows_key)
        for i, (first, stop) in enumerate(itertools.pairwise(bounds))
        if used[i] < used[i + 1]
    ]


def _shard(number: int, first: int, rows: pa.Table, key_of: Callable[[pa.Table], str]) -> Shard:
    return Shard(number=number, first=first, stop=first + len(rows), rows_key=key_of(rows), rows=rows)


def rows_key(rows: pa.Table) -> str:
    """Hash everything that determines the images of these rows: ids, key hashes, sizes and stamps; no key and no container.

    The ids are included, since results hold them. Of a removed image only its place counts, up to the last that is there.
    HEIF's decoder counts where an image is named as HEIF.
    """
    there = ~rows["removed"].to_numpy()
    there = there[: np.append(0, np.flatnonzero(there) + 1)[-1]]
    digest = hashlib.sha256(there.tobytes())
    for name in _KEYED:
        values = rows[name].to_numpy()[: len(there)][there]
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
    key, keys = digest.hexdigest(), rows["key"].filter(pa.array(~rows["removed"].to_numpy()))
    return with_heif(key) if _has_heif(keys) else key


def with_heif(key: str) -> str:
    """Return the key of rows of which some are decoded by HEIF's decoder; the same without the extra `heif`."""
    version = heif_version()
    return key if version is None else hashlib.sha256(f"{key} {HEIF_DECODER} {version}".encode()).hexdigest()


def _has_heif(keys: pa.ChunkedArray) -> bool:
    if heif_version() is None:
        return False
    return bool(pc.any(pc.match_substring_regex(keys, _HEIF_NAME, ignore_case=True)).as_py())


def rows_key_1(rows: pa.Table) -> str:
    """Return the key that format 1 gave these rows: all columns that it had but labels, and the containers' names."""
    names = about(rows).containers
    digest = hashlib.sha256()
    for name in _KEYED_1:
        values = rows[name].to_numpy()
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
    for key, container in zip(rows["key"].to_pylist(), rows["container"].to_pylist(), strict=True):
        for text in (key, names[container] if container >= 0 else ""):
            encoded = text.encode()
            digest.update(len(encoded).to_bytes(4, "little") + encoded)
    return digest.hexdigest()


def _starts(listing: pa.Table, shard_size: int) -> list[int]:
    """Return the first id of every shard of the whole listing."""
    if not about(listing).containers:
        return list(range(0, len(listing), shard_size))
    starts: list[int] = []
    for first, stop in _runs(listing["home"].to_numpy()):
        # Smaller containers that do not fill a shard are joined with the first rows of this one.
        starts += [first] if not starts or first - starts[-1] >= shard_size else []
        starts += range(first + shard_size, stop - shard_size + 1, shard_size)
    return starts


def _runs(home: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the ranges of consecutive rows of one first container; a container that grew has several."""
    edges = np.flatnonzero(np.diff(home)) + 1
    yield from itertools.pairwise([0, *edges.tolist(), len(home)] if len(home) else [])


def chosen_rows(rows: pa.Table, ids: Ids) -> pa.Table:
    """Return the rows of chosen images; all rows, removed ones included, where all images that are there are chosen."""
    chosen = np.isin(rows["image_id"].to_numpy(), ids)
    there = ~rows["removed"].to_numpy()
    return rows if chosen[there].all() else rows.filter(pa.array(chosen & there))


def chosen_shards(
    listing: pa.Table, ids: Ids, shard_size: int = 512, key_of: Callable[[pa.Table], str] | None = None
) -> list[Shard]:
    """Split chosen images into shards.

    A shard of the whole listing of which all images are chosen stays as it is, so that its results are reused. Neighbours
    with some of their images are joined until they have `shard_size` of them, and hold the rows of these alone.
    """
    key_of = key_of or rows_key
    return [
        Shard(number=number, first=first, stop=stop, rows_key=key_of(rows), rows=rows)
        for number, (first, stop) in enumerate(
            _chosen_spans(shards(listing, None, shard_size, lambda rows: ""), ids, shard_size)
        )
        if len(rows := chosen_rows(listing.slice(first, stop - first), ids))
    ]


def _chosen_spans(whole: list[Shard], ids: Ids, shard_size: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of ids of the shards of chosen images."""
    first, stop, count = 0, 0, 0
    for shard in whole:
        there = shard.rows["image_id"].to_numpy()[~shard.rows["removed"].to_numpy()]
        number = int(np.isin(there, ids).sum())
        if not number:
            continue
        if number == len(there) or count + number > shard_size:
            if count:
                yield first, stop
            count = 0
        if number == len(there):
            yield shard.first, shard.stop
            continue
        first = first if count else shard.first
        stop, count = shard.stop, count + number
    if count:
        yield first, stop
