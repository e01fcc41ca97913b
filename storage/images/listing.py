"""Assign every image its permanent id: the listing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage import errors
from storage.images import left_out
from storage.images.contract import Scan, Source, State, name_hash
from storage.images.identity import Hashes, Match, Rows, find

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
        pa.field("stamp", pa.int64(), nullable=False),
        pa.field("home", pa.int32(), nullable=False),
    ],
)
"""One row per image ever listed; row i has image_id i. Sizes are −1 if unknown until read (Parquet).

`key`, `container` and `mtime_ns` say where the image is now. `key_hash`, `home` (its first container) and `stamp` stay: a
stamp is the `mtime_ns` at which this content was first seen, and changes with the content only.
"""

FILE = "images.parquet"
_ABOUT = b"actlas.images"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A listing's metadata: the kind of its source, its containers in order of first appearance (which column `container`
    indexes) with their `states`, the numbers of entries not listed (`refused`) and of labels left out, by reason, and its
    `number` among those of its source."""

    kind: str
    containers: tuple[str, ...]
    refused: Mapping[str, int]
    unlabelled: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[str, State] = field(default_factory=dict)
    number: int = 0


def listing(source: Source, previous: pa.Table | None = None, contents: Hashes | None = None) -> pa.Table:
    """List a source as a table of `SCHEMA`, in the order of the ids.

    New images are sorted by the hash of their keys, or, in containers, in stored order with the containers sorted by the
    hash of their names. Images in `previous` keep their ids, with updated sizes and labels, also under a new key if they
    have the same content; missing ones are marked removed. `contents` gives the SHA-256 of images of `previous`, by id.
    Equal contents give equal tables.
    Raise `UsageError` if there is nothing to list, or `previous` is from another kind of source.
    """
    known = _checked_previous(source, previous)
    before = about(known) if previous is not None else About(kind=source.kind, containers=(), refused={})
    scan = source.scan(before.states)
    if not scan.key and previous is None:
        raise errors.UsageError(f"no images in {source.uri}{_refusals(scan.refused)}")
    names = list(dict.fromkeys([*before.containers, *scan.containers]))
    fresh, held = _scanned(scan, names), _held(known, scan, names)
    match = find(fresh, known, held, contents or _nothing_known, lambda rows: _read_hashes(source, fresh, rows, names))
    table = _merge(*_identified(scan, fresh, known, match), known, held)
    same = _described(table, source, scan, names, before.number)
    return (
        same
        if previous is None or same.equals(known, True)
        else _described(same, source, scan, names, before.number + 1)
    )


def about(rows: pa.Table) -> About:
    """Read the metadata of a listing, or of a slice or selection of its rows; raise `UsageError` if it has none."""
    try:
        stored = json.loads((rows.schema.metadata or {})[_ABOUT])
        return About(
            kind=stored["kind"],
            containers=tuple(stored["containers"]),
            refused=stored["refused"],
            unlabelled=stored.get("unlabelled", {}),
            states={name: State(*state) for name, state in stored.get("states", {}).items()},
            number=stored.get("number", 0),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise errors.UsageError(
            "not an image listing: the table's schema lacks the metadata that listing() writes"
        ) from error


def completed(table: pa.Table) -> pa.Table:
    """Return an earlier listing with all columns: one of format 1 has no stamps and homes, and no labels."""
    columns = dict(zip(table.column_names, table.columns, strict=True))
    columns.setdefault("label", pa.nulls(len(table), pa.large_string()))
    columns.setdefault("stamp", columns["mtime_ns"])
    columns.setdefault("home", columns["container"])
    ordered = {name: columns[name] for name in SCHEMA.names}
    return pa.table(ordered, schema=SCHEMA.with_metadata(table.schema.metadata))


def _checked_previous(source: Source, previous: pa.Table | None) -> pa.Table:
    if previous is None:
        return SCHEMA.empty_table()
    if (kind := about(previous).kind) != source.kind:
        raise errors.UsageError(
            f"{source.uri} is a source of kind {source.kind}, but the earlier listing is of kind {kind}; "
            "list it without the earlier one"
        )
    return completed(previous)


def _refusals(refused: Mapping[str, int]) -> str:
    shown = "; ".join(left_out.words(refused))
    return f"; not listed: {shown}" if shown else ""


def _scanned(scan: Scan, names: Sequence[str]) -> pa.Table:
    """Convert a scan to a table of `SCHEMA`, with the container numbers of this listing; ids and hashes are still 0."""
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([place[name] for name in scan.containers], np.int32)
    container = np.array(scan.container, np.int32)
    container = numbers[container] if scan.containers else container
    nothing = np.zeros(len(scan.key), np.int64)
    columns: dict[str, Any] = {
        "image_id": nothing,
        "key": scan.key,
        "key_hash": nothing.astype(np.uint64),
        "container": container,
        "offset": scan.offset,
        "length": scan.length,
        "bytes": scan.length,
        "mtime_ns": scan.mtime_ns,
        "label": scan.label,
        "removed": nothing.astype(bool),
        "stamp": scan.mtime_ns,
        "home": container,
    }
    return pa.table({name: pa.array(columns[name], SCHEMA.field(name).type) for name in SCHEMA.names}, schema=SCHEMA)


def _held(known: pa.Table, scan: Scan, names: Sequence[str]) -> NDArray[np.bool_]:
    """Return which earlier rows stand in containers that have not changed, or in folders that could not be listed."""
    numbers = [number for number, name in enumerate(names) if name in scan.unchanged]
    held = np.isin(known["container"].to_numpy(), numbers)
    for prefix in scan.closed:
        held |= pc.starts_with(known["key"], prefix).to_numpy()
    there: NDArray[np.bool_] = held & ~known["removed"].to_numpy()
    return there


def _nothing_known(rows: Rows) -> list[None]:
    return [None] * len(rows)


def _read_hashes(source: Source, fresh: pa.Table, rows: Rows, names: Sequence[str]) -> list[str | None]:
    """Hash the contents of scanned images. Raise `Unreadable`: an image that can't be read may be any."""
    hashes: list[str | None] = [None] * len(rows)
    for index, data in source.read(fresh.take(pa.array(rows)), tuple(names)):
        if isinstance(data, errors.Unreadable):
            raise data
        hashes[index] = hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else None
    return hashes


def _identified(scan: Scan, fresh: pa.Table, known: pa.Table, match: Match) -> tuple[pa.Table, Rows]:
    """Return the scanned images with the hashes, homes and stamps of their rows, and the ids of all."""
    hashes, ids = _of(known, "key_hash", match.row), match.row.copy()
    new = np.flatnonzero(ids < 0)
    hashes[new] = np.fromiter((name_hash(scan.key[i]) for i in new), np.uint64, len(new))
    if not scan.containers:
        new = np.array(sorted(new.tolist(), key=lambda i: (hashes[i], scan.key[i])), np.int64)
    ids[new] = np.arange(len(known), len(known) + len(new))
    _mix_taken(hashes, new, scan.key, known)
    home = np.where(match.row < 0, fresh["home"].to_numpy(), _of(known, "home", match.row))
    return _replaced(fresh, {"key_hash": hashes, "home": home, "stamp": _stamps(fresh, known, match)}), ids


def _of(known: pa.Table, name: str, row: Rows) -> NDArray[Any]:
    """Return an earlier column at these rows, 0 where the row is −1."""
    values = known[name].to_numpy()
    return np.append(values, values.dtype.type(0))[row]


def _mix_taken(hashes: NDArray[np.uint64], new: Rows, keys: Sequence[str], known: pa.Table) -> None:
    """Give new images whose key was that of an image that has moved on, or is gone, a hash that no image has."""
    taken = known["key_hash"].to_numpy()
    clashing = new[np.isin(hashes[new], taken)].tolist() if len(new) else []
    given = set(taken.tolist()) if clashing else set()
    for i in clashing:
        turn = 1
        while (mixed := name_hash(f"{keys[i]}\0{turn}")) in given:
            turn += 1
        hashes[i] = mixed
        given.add(mixed)


def _stamps(fresh: pa.Table, known: pa.Table, match: Match) -> NDArray[np.int64]:
    """Return the stamps: the earlier one for the same content, else the file's time, or a mixture if both are equal."""
    before, now = _of(known, "stamp", match.row), fresh["mtime_ns"].to_numpy()
    stamps = np.where(match.same, before, now)
    for i in np.flatnonzero((match.row >= 0) & ~match.same & (before == now)).tolist():
        stamps[i] = name_hash(f"{before[i]} {now[i]}") >> 1
    return stamps


def _merge(fresh: pa.Table, ids: Rows, known: pa.Table, held: NDArray[np.bool_]) -> pa.Table:
    """Overwrite known images at their ids with scanned ones; mark the other known images removed, unless they are held."""
    count = max(len(known), int(ids.max(initial=-1)) + 1)
    source = np.arange(count)
    source[ids] = len(known) + np.arange(len(ids))
    both = pa.concat_tables([_replaced(known, {"removed": ~held}), fresh]).combine_chunks()
    return _replaced(both.take(pa.array(source)), {"image_id": np.arange(count)})


def _replaced(table: pa.Table, columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    for name, values in columns.items():
        place = SCHEMA.get_field_index(name)
        table = table.set_column(place, SCHEMA.field(name), pa.array(values, SCHEMA.field(name).type))
    return table


def _described(table: pa.Table, source: Source, scan: Scan, names: Sequence[str], number: int) -> pa.Table:
    states = dict(zip(scan.containers, map(_stored_state, scan.states), strict=True)) if scan.states else {}
    stored: dict[str, Any] = {
        "containers": names,
        "kind": source.kind,
        "number": number,
        "refused": dict(scan.refused),
        "states": states,
    }
    if scan.unlabelled:
        stored["unlabelled"] = dict(scan.unlabelled)
    return table.replace_schema_metadata({_ABOUT: json.dumps(stored, sort_keys=True).encode()})


def _stored_state(state: State) -> list[Any]:
    unlabelled = [dict(state.unlabelled)] if state.unlabelled else []
    return [state.bytes, state.stamp, dict(state.refused), *unlabelled]
