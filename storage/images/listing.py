"""Give every image its id, once and for all: the listing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from storage import errors
from storage.images.contract import Scan, Source, name_hash

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("key", pa.large_string(), nullable=False),
        pa.field("key_hash", pa.uint64(), nullable=False),
        pa.field("container", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("label", pa.large_string()),
        pa.field("removed", pa.bool_(), nullable=False),
    ],
)
"""One row per image that was ever listed; row i has image_id i. Sizes are −1 where only reading tells (Parquet)."""

FILE = "images.parquet"
_ABOUT = b"actlas.images"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a listing says of itself: the kind of its source, its containers in the order of their first appearance
    (column `container` numbers them), and what was met but not listed, by reason."""

    kind: str
    containers: tuple[str, ...]
    refused: Mapping[str, int]


def listing(source: Source, previous: pa.Table | None = None) -> pa.Table:
    """List a source as a table of `SCHEMA`, in the order of the ids.

    New images are ordered by the hash of their keys, or where containers hold them container by container (by the hash
    of the name) in stored order. What `previous` lists keeps its id, with new sizes and labels where they changed;
    what is gone is marked removed. Equal content gives an equal table.
    Raise `UsageError` where there is nothing to list or `previous` is of another kind of source.
    """
    found = source.scan()
    known = _known(source, previous)
    if not found.key and known is None:
        raise errors.UsageError(f"no images in {source.uri}{_refusals(found.refused)}")
    names = list(about(known).containers) if known is not None else []
    number = {name: i for i, name in enumerate(dict.fromkeys([*names, *found.containers]))}
    ids, new = _place(found, known)
    fresh = _columns(found, np.array([number[name] for name in found.containers], np.int32))
    table = _merge(fresh, ids, new, known)
    text = json.dumps({"containers": list(number), "kind": source.kind, "refused": dict(found.refused)}, sort_keys=True)
    return table.replace_schema_metadata({_ABOUT: text.encode()})


def about(rows: pa.Table) -> About:
    """Read what a listing, or any slice or selection of its rows, says of itself; raise `UsageError` if it can't."""
    try:
        stored = json.loads((rows.schema.metadata or {})[_ABOUT])
        return About(kind=stored["kind"], containers=tuple(stored["containers"]), refused=stored["refused"])
    except (KeyError, ValueError, TypeError) as error:
        raise errors.UsageError("this table is no image listing: its schema lacks what listing() wrote") from error


def _known(source: Source, previous: pa.Table | None) -> pa.Table | None:
    if previous is None:
        return None
    if (kind := about(previous).kind) != source.kind:
        raise errors.UsageError(
            f"{source.uri} is a source of kind {source.kind}, and a listing of kind {kind} can't go on with it; "
            "list it without the earlier one"
        )
    return previous


def _refusals(refused: Mapping[str, int]) -> str:
    shown = ", ".join(f"{count} × {reason}" for reason, count in sorted(refused.items()))
    return f" (not listed: {shown})" if shown else ""


def _place(found: Scan, known: pa.Table | None) -> tuple[np.ndarray, np.ndarray]:
    """Give each found image its old id or −1, and the found images without one in the order of their new ids."""
    old = {key: i for i, key in enumerate(known["key"].to_pylist())} if known is not None else {}
    ids = np.fromiter((old.get(key, -1) for key in found.key), np.int64, len(found.key))
    new = np.flatnonzero(ids < 0)
    if not found.containers:
        new = np.array(sorted(new.tolist(), key=lambda i: (name_hash(found.key[i]), found.key[i])), np.int64)
    ids[new] = np.arange(len(old), len(old) + len(new))
    return ids, new


def _columns(found: Scan, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Turn a scan into columns, with container numbers as this listing counts them."""
    container = np.array(found.container, np.int32)
    length = np.array(found.length, np.int64)
    return {
        "key": np.array(found.key, object),
        "key_hash": np.fromiter(map(name_hash, found.key), np.uint64, len(found.key)),
        "container": numbers[container] if found.containers else container,
        "offset": np.array(found.offset, np.int64),
        "length": length,
        "bytes": length,
        "mtime_ns": np.array(found.mtime_ns, np.int64),
        "label": np.array(found.label, object),
        "removed": np.zeros(len(found.key), bool),
    }


def _old(known: pa.Table, name: str) -> np.ndarray | bool | None:
    """Give a column of the earlier listing as it is for images that are gone; labels may be kept elsewhere."""
    if name == "removed":
        return True
    return known[name].to_numpy() if name in known.column_names else None


def _merge(fresh: dict[str, np.ndarray], ids: np.ndarray, new: np.ndarray, known: pa.Table | None) -> pa.Table:
    """Write found images over the known ones at their ids; known images that were not found are marked removed."""
    count = (len(known) if known is not None else 0) + len(new)
    columns: dict[str, pa.Array] = {"image_id": pa.array(np.arange(count), pa.int64())}
    for name, values in fresh.items():
        field = SCHEMA.field(name)
        column = np.empty(count, values.dtype)
        if known is not None:
            column[: len(known)] = _old(known, name)
        column[ids] = values
        columns[name] = pa.array(column, field.type, from_pandas=True)
    return pa.table(columns, schema=SCHEMA)
