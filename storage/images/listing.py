"""Assign every image its permanent id: the listing."""

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
"""One row per image ever listed; row i has image_id i. Sizes are −1 if unknown until read (Parquet)."""

FILE = "images.parquet"
_ABOUT = b"actlas.images"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A listing's metadata: the kind of its source, its containers in order of first appearance (which column `container`
    indexes), and the number of entries not listed, by reason."""

    kind: str
    containers: tuple[str, ...]
    refused: Mapping[str, int]


def listing(source: Source, previous: pa.Table | None = None) -> pa.Table:
    """List a source as a table of `SCHEMA`, in the order of the ids.

    New images are sorted by the hash of their keys, or, in containers, in stored order with the containers sorted by the
    hash of their names. Images in `previous` keep their ids, with updated sizes and labels; missing ones are marked
    removed. Equal contents give equal tables.
    Raise `UsageError` if there is nothing to list, or `previous` is from another kind of source.
    """
    scan = source.scan()
    known = _checked_previous(source, previous)
    if not scan.key and known is None:
        raise errors.UsageError(f"no images in {source.uri}{_refusals(scan.refused)}")
    names = list(about(known).containers) if known is not None else []
    number = {name: i for i, name in enumerate(dict.fromkeys([*names, *scan.containers]))}
    ids, new = _assign_ids(scan, known)
    fresh = _scanned_columns(scan, np.array([number[name] for name in scan.containers], np.int32))
    table = _merge(fresh, ids, new, known)
    text = json.dumps({"containers": list(number), "kind": source.kind, "refused": dict(scan.refused)}, sort_keys=True)
    return table.replace_schema_metadata({_ABOUT: text.encode()})


def about(rows: pa.Table) -> About:
    """Read the metadata of a listing, or of a slice or selection of its rows; raise `UsageError` if it has none."""
    try:
        stored = json.loads((rows.schema.metadata or {})[_ABOUT])
        return About(kind=stored["kind"], containers=tuple(stored["containers"]), refused=stored["refused"])
    except (KeyError, ValueError, TypeError) as error:
        raise errors.UsageError(
            "not an image listing: the table's schema lacks the metadata that listing() writes"
        ) from error


def _checked_previous(source: Source, previous: pa.Table | None) -> pa.Table | None:
    if previous is None:
        return None
    if (kind := about(previous).kind) != source.kind:
        raise errors.UsageError(
            f"{source.uri} is a source of kind {source.kind}, but the earlier listing is of kind {kind}; "
            "list it without the earlier one"
        )
    return previous


def _refusals(refused: Mapping[str, int]) -> str:
    shown = ", ".join(f"{count} × {reason}" for reason, count in sorted(refused.items()))
    return f" (not listed: {shown})" if shown else ""


def _assign_ids(scan: Scan, known: pa.Table | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the id of each scanned image, and the indices of the new images in the order of their ids."""
    old = {key: i for i, key in enumerate(known["key"].to_pylist())} if known is not None else {}
    ids = np.fromiter((old.get(key, -1) for key in scan.key), np.int64, len(scan.key))
    new = np.flatnonzero(ids < 0)
    if not scan.containers:
        new = np.array(sorted(new.tolist(), key=lambda i: (name_hash(scan.key[i]), scan.key[i])), np.int64)
    ids[new] = np.arange(len(old), len(old) + len(new))
    return ids, new


def _scanned_columns(scan: Scan, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Convert a scan to columns, with the container numbers of this listing."""
    container = np.array(scan.container, np.int32)
    length = np.array(scan.length, np.int64)
    return {
        "key": np.array(scan.key, object),
        "key_hash": np.fromiter(map(name_hash, scan.key), np.uint64, len(scan.key)),
        "container": numbers[container] if scan.containers else container,
        "offset": np.array(scan.offset, np.int64),
        "length": length,
        "bytes": length,
        "mtime_ns": np.array(scan.mtime_ns, np.int64),
        "label": np.array(scan.label, object),
        "removed": np.zeros(len(scan.key), bool),
    }


def _earlier_column(known: pa.Table, name: str) -> np.ndarray | bool | None:
    """Return an earlier listing's column as it stands for removed images; its labels may be stored elsewhere."""
    if name == "removed":
        return True
    return known[name].to_numpy() if name in known.column_names else None


def _merge(fresh: dict[str, np.ndarray], ids: np.ndarray, new: np.ndarray, known: pa.Table | None) -> pa.Table:
    """Overwrite known images at their ids with scanned ones; mark the other known images removed."""
    count = (len(known) if known is not None else 0) + len(new)
    columns: dict[str, pa.Array] = {"image_id": pa.array(np.arange(count), pa.int64())}
    for name, values in fresh.items():
        field = SCHEMA.field(name)
        column = np.empty(count, values.dtype)
        if known is not None:
            column[: len(known)] = _earlier_column(known, name)
        column[ids] = values
        columns[name] = pa.array(column, field.type, from_pandas=True)
    return pa.table(columns, schema=SCHEMA)
