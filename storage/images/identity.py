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
    entries, rows = _by_content(row, np.flatnonzero(~same), pool, scanned, known, contents, read)
    row[~same & np.isin(row, rows)] = -1
    row[entries], same[entries] = rows, True
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


def _by_content(
    row: Rows, entries: Rows, pool: Rows, scanned: pa.Table, known: pa.Table, contents: Hashes, read: Hashes
) -> tuple[Rows, Rows]:
    """Pair scanned entries with earlier rows of the pool that have the same content.

    Files under their old keys come first: if all are back there, as after `touch`, no other file is read.
    """
    size, size_before = scanned["length"].to_numpy(), known["bytes"].to_numpy()
    before = _hashes(contents, pool[np.isin(size_before[pool], size[entries])], len(known))
    lost = np.flatnonzero(_is_known(before))
    at_home = entries[np.isin(row[entries], lost)]
    at_home = at_home[size[at_home] == size_before[row[at_home]]]
    now = _hashes(read, at_home, len(scanned))
    back = at_home[now[at_home] == before[row[at_home]]]
    lost = np.setdiff1d(lost, row[back])
    others = np.setdiff1d(entries, at_home)
    now[others] = _hashes(read, others[np.isin(size[others], size_before[lost])], len(scanned))[others]
    now[back] = None
    moved, rows = _pairs(_copies(scanned, now, np.flatnonzero(_is_known(now))), _copies(known, before, lost))
    return np.append(back, moved), np.append(row[back], rows)


def _hashes(hashes: Hashes, rows: Rows, count: int) -> NDArray[np.object_]:
    """Return the hashes of these rows among `count`, None for all others."""
    every = np.full(count, None, object)
    if len(rows):
        every[rows] = hashes(rows)
    return every


def _is_known(hashes: NDArray[np.object_]) -> NDArray[np.bool_]:
    return hashes.astype(np.bool_)


Copy = tuple[bool, str, int]
"""A row with a certain content: whether it was removed before, its key, its number. In this order copies are paired."""


def _copies(table: pa.Table, hashes: NDArray[np.object_], rows: Rows) -> dict[str, list[Copy]]:
    """Return these rows by their content, in order."""
    names = table.select(["removed", "key"]).take(pa.array(rows)).to_pydict()
    copies: dict[str, list[Copy]] = defaultdict(list)
    places = sorted(zip(names["removed"], names["key"], rows.tolist(), strict=True))
    for removed, key, row in places:
        copies[hashes[row]].append((removed, key, row))
    return copies


def _pairs(entries: dict[str, list[Copy]], lost: dict[str, list[Copy]]) -> tuple[Rows, Rows]:
    """Pair equal copies: those with the same key, then the others in their order."""
    pairs: dict[int, int] = {}
    for content, copies in entries.items():
        by_key = {key: entry for _, key, entry in copies}
        same = {by_key.pop(key): row for _, key, row in lost.get(content, ()) if key in by_key}
        taken = set(same.values())
        rest = [row for _, _, row in lost.get(content, ()) if row not in taken]
        pairs |= same | dict(zip(by_key.values(), rest, strict=False))
    return np.fromiter(pairs, np.int64, len(pairs)), np.fromiter(pairs.values(), np.int64, len(pairs))
