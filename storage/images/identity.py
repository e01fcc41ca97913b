"""Find the images of an earlier listing again: an image is its content, wherever its file has moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Hashes = Callable[[Rows], Sequence[str | None]]
"""The SHA-256 of the content of these rows, None where it is unknown."""

TRUSTED = ("offset", "length", "mtime_ns")
"""A file whose place, size and time are as listed is not read to see whether its content is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """For each scanned image: `row`, the earlier row that it is (−1 for a new image), and whether its content is the `same`."""

    row: Rows
    same: NDArray[np.bool_]


def find(scanned: pa.Table, known: pa.Table, held: NDArray[np.bool_], contents: Hashes, read: Hashes) -> Match:
    """Match scanned images with the rows of an earlier listing; rows `held` elsewhere cannot match.

    A key whose place, size and time have not changed keeps its image. Any other file is the image whose content it has, if
    that is no longer where it was; else the image that had its key, changed; else a new one. `contents` gives the hashes
    of earlier rows; `read` those of scanned ones, and is called only for files as large as such an image.
    """
    row = _rows_by_key(scanned, known, held)
    same = _unchanged(row, scanned, known)
    pool = np.setdiff1d(np.flatnonzero(~held), row[same])
    moved = _rows_by_content(np.flatnonzero(~same), pool, scanned, known, contents, read)
    row[~same & np.isin(row, list(moved.values()))] = -1
    at = np.fromiter(moved, np.int64, len(moved))
    row[at], same[at] = np.fromiter(moved.values(), np.int64, len(moved)), True
    return Match(row=row, same=same)


def _rows_by_key(scanned: pa.Table, known: pa.Table, held: NDArray[np.bool_]) -> Rows:
    """Return the earlier row with each scanned key, −1 if there is none: of several that had it in turn, the last."""
    rows = np.flatnonzero(~held)
    rows = rows[np.lexsort((-rows, known["removed"].to_numpy()[rows]))]
    keys = known["key"].take(pa.array(rows)).combine_chunks()
    at = pc.fill_null(pc.index_in(scanned["key"], value_set=keys), -1).to_numpy()
    matched: Rows = np.append(rows, -1)[at]
    return matched


def _unchanged(row: Rows, scanned: pa.Table, known: pa.Table) -> NDArray[np.bool_]:
    same = row >= 0
    for name in TRUSTED:
        same &= scanned[name].to_numpy() == np.append(known[name].to_numpy(), 0)[row]
    return same


def _rows_by_content(
    entries: Rows, pool: Rows, scanned: pa.Table, known: pa.Table, contents: Hashes, read: Hashes
) -> dict[int, int]:
    """Pair scanned entries with earlier rows of the same content; equal copies with the same key first, then in key order."""
    size, size_before = scanned["length"].to_numpy(), known["bytes"].to_numpy()
    pool = pool[np.isin(size_before[pool], size[entries])]
    lost: dict[str, list[int]] = defaultdict(list)
    for row, content in zip(pool.tolist(), contents(pool) if len(pool) else (), strict=True):
        if content is not None:
            lost[content].append(row)
    known_rows = np.array([row for rows in lost.values() for row in rows], np.int64)
    entries = entries[np.isin(size[entries], size_before[known_rows])]
    fresh: dict[str, list[int]] = defaultdict(list)
    for entry, content in zip(entries.tolist(), read(entries) if len(entries) else (), strict=True):
        if content in lost:
            fresh[str(content)].append(entry)
    pairs: dict[int, int] = {}
    for content, copies in fresh.items():
        pairs |= _pair(_keyed(scanned, copies), _by_age(known, lost[content]))
    return pairs


def _keyed(table: pa.Table, rows: list[int]) -> dict[str, int]:
    """Return rows by their keys, in key order."""
    return dict(sorted(zip(table["key"].take(rows).to_pylist(), rows, strict=True)))


def _by_age(known: pa.Table, rows: list[int]) -> list[tuple[str, int]]:
    """Return the keys of earlier rows: those that were there until now first, in key order."""
    names = known.select(["removed", "key"]).take(rows)
    ordered = sorted(zip(names["removed"].to_pylist(), names["key"].to_pylist(), rows, strict=True))
    return [(key, row) for _, key, row in ordered]


def _pair(entries: dict[str, int], lost: list[tuple[str, int]]) -> dict[int, int]:
    pairs: dict[int, int] = {}
    rest: list[int] = []
    for key, row in lost:
        if key in entries:
            pairs[entries.pop(key)] = row
        else:
            rest.append(row)
    return pairs | dict(zip(entries.values(), rest, strict=False))
