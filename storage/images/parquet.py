"""Parquet with image bytes, as Hugging Face datasets stores them: a struct of bytes and path, or a binary column."""

from __future__ import annotations

import itertools
import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage import errors, file_kinds
from storage.images import labels as label_values
from storage.images.contract import (
    MAX_BYTES,
    UNKNOWN,
    Read,
    Scan,
    State,
    changed,
    leaves_root,
    reason_not_listed,
    too_large,
)
from storage.images.files import Files, Opened, other_kind, scan_files
from storage.images.left_out import FORMATS

_BATCH = 32
"""Rows decoded at a time: an image has about 100 kB, and a row group may hold thousands."""

USUAL_COLUMN = "image"
"""The column of images where none is named."""

_SHOWN, _LONG = 8, 60
"""Columns that a message names, and the letters of a type that it shows."""


@dataclass(frozen=True, slots=True)
class Parquet:
    """The rows of the Parquet files `containers` of `files`, keyed by file name / row [/ stored path].

    `column` names the column of images, where it is not the usual one; `beside` counts, by reason, what stands beside the
    files and is not read.
    """

    files: Files
    containers: tuple[str, ...]
    uri: str
    column: str | None = None
    beside: tuple[tuple[str, int], ...] = ()

    @property
    def kind(self) -> str:
        """Return the kind: the rows of another column are other images, so they are listed on their own."""
        return "parquet" if self.column is None else f"parquet:{self.column}"

    @property
    def root(self) -> Path | str:
        return self.files.root

    def scan(self, known: Mapping[str, State]) -> Scan:
        """List the rows; only labels and paths are read, so byte counts are unknown (−1)."""
        return scan_files(self.files, self.containers, known, self._scan, self.beside)

    def _scan(self, number: int, name: str, scan: Scan) -> tuple[int, int]:
        place = self.place("", name)
        try:
            with self.files.opened(name) as file:
                _scan_one(file, number, name, place, self.column, scan)
                return file.size, file.stamp
        except (pa.ArrowException, OSError) as error:
            instead = file_kinds.instead(other_kind(self.files, name), "a Parquet file", "give it its own suffix")
            message = f"{place} {instead}" if instead else f"cannot list {place}: {errors.first_line(error)}"
            raise errors.UsageError(message) from error

    def read(self, rows: pa.Table, names: tuple[str, ...]) -> Iterator[tuple[int, Read]]:
        """Yield contents in row order; consecutive ascending rows of one file read each row group once."""
        columns = (rows[c].to_pylist() for c in ("container", "offset", "mtime_ns", "removed"))
        wanted = [
            (index, container, offset, mtime_ns)
            for index, (container, offset, mtime_ns, removed) in enumerate(zip(*columns, strict=True))
            if not removed
        ]
        for container, run in itertools.groupby(wanted, key=lambda row: row[1]):
            self.place("", names[container])  # rejects names that escape the root
            members = [(i, offset, stamp) for i, _, offset, stamp in run]
            yield from _read_run(self.files, names[container], self.column, members)

    def place(self, key: str, container: str | None) -> str:
        if container is None or leaves_root(container):
            raise errors.UsageError(f"no Parquet file is known for {key!r} in {self.uri}; list the files again")
        return self.files.place(container)


def image_column(schema: pa.Schema, column: str | None = None) -> str | None:
    """Return the image column: the one named, else `image`, else the first Hugging Face Image feature, else None."""
    features = _features(schema)
    named = [USUAL_COLUMN, *(name for name, feature in features.items() if feature.get("_type") == "Image")]
    named = named if column is None else [column]
    return next(
        (name for name in named if schema.names.count(name) == 1 and _holds_bytes(schema.field(name).type)), None
    )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _features(schema: pa.Schema) -> dict[str, dict[str, object]]:
    """Read the features that Hugging Face datasets stores in the schema's metadata."""
    try:
        stored = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: feature for name, feature in stored.items() if isinstance(feature, dict)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _label_column(schema: pa.Schema) -> tuple[str | None, list[str] | None]:
    """Return the name of the label column and, for a ClassLabel, its class names."""
    features = _features(schema)
    classes = [name for name, feature in features.items() if feature.get("_type") == "ClassLabel"]
    name = next((name for name in ["label", *classes] if schema.names.count(name) == 1), None)
    names = features.get(name, {}).get("names") if name else None
    return name, [str(n) for n in names] if isinstance(names, list) else None


def _scan_one(opened: Opened, number: int, container: str, place: str, column: str | None, scan: Scan) -> None:
    with pq.ParquetFile(opened.source) as file:
        schema = file.schema_arrow
        image, (label, names) = image_column(schema, column), _label_column(schema)
        if image is None:
            raise errors.UsageError(_no_image_column(file, place, column))
        kind = schema.field(image).type
        if _is_without_bytes(file, image):
            raise errors.UsageError(f"{place}: no row of its column {image} has bytes{_paths(file, image)}")
        stored_paths = image if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0 else None
        start = container if column is None else f"{container}#{column}"
        for row, stored, value in _rows_without_images(file, stored_paths, label):
            text, left_out = label_values.text(value, names)
            if left_out:
                scan.unlabelled[left_out] += 1
            scan.add(
                f"{start}/{row}/{stored}" if stored else f"{start}/{row}",
                container=number,
                offset=row,
                length=UNKNOWN,
                mtime_ns=opened.stamp,
                label=text,
            )


def _no_image_column(file: pq.ParquetFile, place: str, column: str | None) -> str:
    """Return what is the matter with a file that has no image column, or not the one named: its columns and their types."""
    schema = file.schema_arrow
    needed = "images are bytes: binary, or a struct of bytes and path"
    if schema.names.count(column or USUAL_COLUMN) > 1:
        return f"{place} has {schema.names.count(column or USUAL_COLUMN)} columns {column or USUAL_COLUMN}; rename all but one"
    if column is not None and column in schema.names:
        return f"--image-column {column}: in {place} it is {_type(schema, column)}; {needed}{_paths(file, column)}"
    columns = ", ".join(f"{name} ({_type(schema, name)})" for name in schema.names[:_SHOWN]) or "no columns"
    if column is not None:
        return f"--image-column {column}: {place} has no such column, but {columns}"
    # One of two columns of a name can't be chosen.
    others = [n for n in schema.names if schema.names.count(n) == 1 and _holds_bytes(schema.field(n).type)]
    choice = f"; --image-column {others[0]} reads that one" if others else ""
    paths = next((text for name in schema.names[:_SHOWN] if (text := _paths(file, name))), "") if not others else ""
    return f"{place} has no column `image` of bytes, but has {columns}; {needed}{choice}{paths}"


def _type(schema: pa.Schema, name: str) -> str:
    text = str(schema.field(schema.names.index(name)).type)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def _is_without_bytes(file: pq.ParquetFile, image: str) -> bool:
    """Tell by the statistics whether no row has an image's bytes."""
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    return any(group.num_rows for group in groups) and all(_nulls(group, image) == group.num_rows for group in groups)


def _nulls(group: pq.RowGroupMetaData, image: str) -> int:
    """Return the number of rows without bytes of a row group, −1 if it is not recorded."""
    columns = (group.column(number) for number in range(group.num_columns))
    statistics = next((c.statistics for c in columns if c.path_in_schema in (image, f"{image}.bytes")), None)
    return statistics.null_count if statistics is not None and statistics.has_null_count else -1


def _paths(file: pq.ParquetFile, name: str) -> str:
    """Return a remark on a column that holds paths or addresses of images, with the first; "" for any other."""
    kind = file.schema_arrow.field(file.schema_arrow.names.index(name)).type
    column = f"{name}.path" if pa.types.is_struct(kind) else name
    batch = next(file.iter_batches(batch_size=_BATCH, columns=[column]), None)
    if batch is None or not batch.num_columns:
        return ""
    values = (batch.column(0).field("path") if pa.types.is_struct(kind) else batch.column(0)).to_pylist()
    first = next((v for v in values if isinstance(v, str) and reason_not_listed(v) in ("", *FORMATS)), None)
    if first is None:
        return ""
    return (
        f"; it holds paths such as {first!r}, which are not followed: give the folder of these files to --images, and "
        "their labels to --labels"
    )


def _rows_without_images(
    file: pq.ParquetFile, path: str | None, label: str | None
) -> Iterator[tuple[int, str | None, object]]:
    """Yield (row, stored path of the image column `path`, label) without reading images."""
    columns = [name for name in (path and f"{path}.path", label) if name]
    if not columns:
        yield from ((row, None, None) for row in range(file.metadata.num_rows))
        return
    row = 0
    for batch in file.iter_batches(columns=columns, batch_size=1 << 14):
        paths = batch.column(path).field("path").to_pylist() if path else [None] * len(batch)
        labels = batch.column(label).to_pylist() if label else [None] * len(batch)
        for stored, value in zip(paths, labels, strict=True):
            yield row, stored, value
            row += 1


def _read_run(
    files: Files, name: str, column: str | None, run: list[tuple[int, int, int]]
) -> Iterator[tuple[int, Read]]:
    """Yield the contents of (index, row of the file, stamp) in the given order, damaged ones as error values."""
    done, place = 0, files.place(name)
    try:
        with files.opened(name) as opened:
            if any(stamp != opened.stamp for _, _, stamp in run):
                yield from ((index, changed(place)) for index, *_ in run)
                return
            # Buffered, not pre-buffered: memory stays at a few pages regardless of the size of row groups.
            with pq.ParquetFile(opened.source, pre_buffer=False, buffer_size=1 << 20) as file:
                for ascending in _ascending(run):
                    for content in _contents(file, column, [row for _, row, _ in ascending]):
                        yield run[done][0], content
                        done += 1
    except (pa.ArrowException, OSError) as error:
        failed = errors.Unreadable(f"cannot read {place}: {errors.first_line(error)}")
        yield from ((index, failed) for index, *_ in run[done:])


def _ascending(run: list[tuple[int, int, int]]) -> Iterator[list[tuple[int, int, int]]]:
    """Split a run into pieces with strictly ascending file rows."""
    start = 0
    for i in range(1, len(run) + 1):
        if i == len(run) or run[i][1] <= run[i - 1][1]:
            yield run[start:i]
            start = i


def _contents(file: pq.ParquetFile, column: str | None, wanted: list[int]) -> Iterator[Read]:
    """Yield the image bytes of ascending file rows, reading only the row groups that hold them."""
    image = image_column(file.schema_arrow, column)
    if image is None:
        raise pa.ArrowInvalid("the column of image bytes is missing")
    first, done = 0, 0
    for group in range(file.num_row_groups):
        stop = first + file.metadata.row_group(group).num_rows
        end = bisect_left(wanted, stop, lo=done)
        if end > done:
            yield from _group_contents(file, group, image, [row - first for row in wanted[done:end]])
        done = end
        first = stop
    if done < len(wanted):
        raise pa.ArrowInvalid(f"row {wanted[done]:,} is past the end of the file")


def _group_contents(file: pq.ParquetFile, group: int, image: str, wanted: list[int]) -> Iterator[Read]:
    """Yield the image bytes of ascending rows of one row group, decoding no rows after the last."""
    is_struct = pa.types.is_struct(file.schema_arrow.field(image).type)
    columns = [f"{image}.bytes"] if is_struct else [image]
    start, pending = 0, list(reversed(wanted))
    for batch in file.iter_batches(batch_size=_BATCH, row_groups=[group], columns=columns, use_threads=False):
        column = batch.column(0).field("bytes") if is_struct else batch.column(0)
        while pending and pending[-1] < start + len(batch):
            yield _image_bytes(column[pending.pop() - start])
        start += len(batch)
        if not pending:
            return


def _image_bytes(value: pa.Scalar) -> Read:
    """Return an image's bytes from an Arrow value; a null (only a path was stored) is an empty image."""
    if not value.is_valid:
        return b""
    buffer = value.as_buffer()
    return too_large(buffer.size) if buffer.size > MAX_BYTES else buffer.to_pybytes()
