"""Tables on disk: Parquet with equal bytes for equal rows, verified when read.

Pages carry checksums, but Parquet's footer has none: a flipped bit in its statistics silently hides rows, or makes Arrow
abort the process (seen in 26.0.1). So its SHA-256 is stored right before it, where other readers never look.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import Damaged
from storage.store import disk, reading
from storage.store.damage import errors_as_damage

MAGIC = b"PAR1"
SEAL = b"actlas:1"
"""Marker of the footer's hash: these eight bytes, then 32 bytes of SHA-256, then the footer."""

ROWS = 65_536


def write_table(path: Path, table: pa.Table, row_group_size: int = ROWS, sorting: Sequence[str] = ()) -> None:
    """Write a new Parquet file; `sorting` records the columns that the rows are sorted by, for other readers.

    The table's chunking does not affect the bytes; its schema's metadata is kept. Strings and binaries get large types
    (64-bit offsets).
    """
    metadata = table.schema.metadata  # cast drops it
    table = table.cast(_large(table.schema)).replace_schema_metadata(metadata).combine_chunks()
    order = [pq.SortingColumn(table.schema.get_field_index(name)) for name in sorting]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=row_group_size,
        compression="zstd",
        compression_level=3,
        write_page_checksum=True,
        write_page_index=True,
        sorting_columns=order or None,
    )
    data = memoryview(sink.getvalue())
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    with disk.Writer(path) as writer:
        writer.write(data[:start])
        writer.write(SEAL + hashlib.sha256(data[start:]).digest())
        writer.write(data[start:])


def read_table(path: Path, columns: Sequence[str] | None = None, rows: tuple[int, int] | None = None) -> pa.Table:
    """Read a table, or some of its columns, or only the rows from `rows[0]` up to but not including `rows[1]` (clipped).

    Reads only the row groups needed. Raises Damaged if a byte of them has changed.
    """
    footer = _footer(path)
    if rows is None:
        return _read(path, footer, list(range(footer.num_row_groups)), columns)
    first, last = max(0, rows[0]), min(rows[1], footer.num_rows)
    groups: list[int] = []
    start = skipped = 0
    for group in range(footer.num_row_groups):
        stop = start + footer.row_group(group).num_rows
        if start < last and stop > first:
            skipped = skipped if groups else start
            groups.append(group)
        start = stop
    return _read(path, footer, groups, columns).slice(first - skipped, max(0, last - first))


def read_sorted(path: Path, column: str, values: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the rows whose `column` is one of `values` (or equals a single value), in the file's order.

    Fast if the file is sorted by the column: only row groups whose statistics span a value are read. Raises Damaged.
    """
    wanted = list(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes) else [values]
    footer = _footer(path)
    groups = [group for group, span in enumerate(_spans(path, _identity(path), column)) if _holds(span, wanted)]
    needed = None if columns is None else [*columns, *([] if column in columns else [column])]
    candidates = _read(path, footer, groups, needed)
    rows = candidates.filter(_is_in(candidates[column], wanted))
    return rows if columns is None else rows.select(list(columns))


def bounds(path: Path, column: str) -> tuple[Any, Any] | None:
    """Return the least and the largest value of a column by the statistics; None for a table without rows. Raises Damaged."""
    spans = [span for span in _spans(path, _identity(path), column) if span is not None]
    return (min(span[0] for span in spans), max(span[1] for span in spans)) if spans else None


def names(path: Path) -> list[str]:
    """Return the names of a table's columns. Raises Damaged."""
    return list(_footer(path).schema.to_arrow_schema().names)


def _is_in(column: pa.ChunkedArray, wanted: list[Any]) -> pa.ChunkedArray:
    import pyarrow.compute as pc  # takes a tenth of a second to import, and reading whole tables does not need it

    return pc.is_in(column, value_set=pa.array(wanted, column.type))


def _holds(span: tuple[Any, Any] | None, wanted: list[Any]) -> bool:
    return span is None or any(span[0] <= value <= span[1] for value in wanted)


def _read(path: Path, footer: pq.FileMetaData, groups: list[int], columns: Sequence[str] | None) -> pa.Table:
    missing = sorted(set(columns or ()) - set(footer.schema.to_arrow_schema().names))
    if missing:
        there = ", ".join(footer.schema.to_arrow_schema().names)
        raise LookupError(f"{path} has no column {', '.join(map(repr, missing))}; it has {there}")
    with (
        errors_as_damage(path),
        reading.opened(path) as opened,
        pq.ParquetFile(opened, metadata=footer, page_checksum_verification=True, pre_buffer=False) as file,
    ):
        table = file.read_row_groups(groups, columns=None if columns is None else list(columns), use_threads=False)
        expected = sum(footer.row_group(group).num_rows for group in groups)
        if len(table) != expected:  # the number of rows in a page's header has no checksum
            raise ValueError(f"it gives {len(table)} rows, not {expected}")
        return table


def _footer(path: Path) -> pq.FileMetaData:
    """Read and verify the footer, once per file. Raises Damaged."""
    return _checked_footer(path, _identity(path))


def _identity(path: Path) -> tuple[int, ...]:
    """Return values that change when another file replaces the one at this path."""
    status = reading.status(path)
    if status is None:
        raise Damaged(f"{path} is missing; run `actlas verify --repair`")
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=256)
def _checked_footer(path: Path, identity: tuple[int, ...]) -> pq.FileMetaData:
    with errors_as_damage(path), reading.opened(path) as file:
        file.seek(-8, os.SEEK_END)
        tail = file.read(8)
        length = int.from_bytes(tail[:4], "little")
        file.seek(-(8 + length + 40), os.SEEK_END)
        seal, footer = file.read(40), file.read(length) + tail
        if not (tail.endswith(MAGIC) and seal == SEAL + hashlib.sha256(footer).digest()):
            raise ValueError("its footer doesn't match its hash")
        return pq.read_metadata(pa.BufferReader(MAGIC + footer))


@functools.lru_cache(maxsize=1024)
def _spans(path: Path, identity: tuple[int, ...], column: str) -> list[tuple[Any, Any] | None]:
    """Return the minimum and maximum of a column in every row group; None if unknown."""
    footer = _checked_footer(path, identity)
    index = footer.schema.to_arrow_schema().get_field_index(column)
    if index < 0:
        raise LookupError(f"{path} has no column {column!r}; it has {', '.join(footer.schema.to_arrow_schema().names)}")
    place = next(i for i in range(footer.num_columns) if footer.schema.column(i).path == column)
    statistics = [footer.row_group(group).column(place).statistics for group in range(footer.num_row_groups)]
    return [(s.min, s.max) if s is not None and s.has_min_max else None for s in statistics]


def _large(schema: pa.Schema) -> pa.Schema:
    """Replace top-level strings and binaries of a schema by types whose offsets can't overflow."""
    wider = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    return pa.schema([field.with_type(wider.get(field.type, field.type)) for field in schema])
