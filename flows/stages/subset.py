"""Subset: choose the images of a run by key, by a condition, per label, or a sample of them."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from flows import guarded_sql, progress, registry
from flows.config import RunConfig
from flows.planning.tasks import Outcome, Output
from flows.stages.shared import image_names, label_files
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import tables
from storage.errors import UsageError, first_line
from storage.images.shards import Ids, living
from storage.store.store import Store, stage_key

FILE = "subset.parquet"

SHOWN = 8
"""Labels that a message names."""


class SubsetRecord(TypedDict):
    """A subset: how many images it has, of how many, and how many of each label."""

    images: int
    of: int
    labels: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """The chosen images: their ids in ascending order, how many there were to choose from, and how many each label has."""

    ids: Ids
    of: int
    labels: dict[str, int]

    def about(self) -> SubsetRecord:
        """Return the record of it in a version."""
        return {"images": len(self.ids), "of": self.of, "labels": self.labels}

    def say(self) -> None:
        """Report how many images are chosen, and of which labels."""
        shown = [f"{label} {number:,}" for label, number in list(self.labels.items())[:SHOWN]]
        more = f" and {len(self.labels) - SHOWN:,} more labels" if len(self.labels) > SHOWN else ""
        by_label = f": {', '.join(shown)}{more}" if shown else ""
        progress.current().say(f"  subset: {len(self.ids):,} of {self.of:,} images{by_label}")


def is_asked_for(config: RunConfig) -> bool:
    """Tell whether a run takes a subset of the images; `--limit` alone is none, since shards know it."""
    return any(getattr(config, name) is not None for name in ("image_keys", "where", "per_label", "sample"))


def write(store: Store, output: Output, subset: Subset) -> Outcome:
    """Write the ids of the chosen images."""
    stored = store.find("subset", output.key)
    if stored is not None:
        return Outcome(output=output, manifest=stored.digest, computed=False)
    with drafting(store, output) as draft:
        tables.write_table(draft.path / FILE, pa.table({"image_id": subset.ids}), row_group_size=4096)
        draft.counts = {"images": len(subset.ids)}
    return outcome(draft)


def plan_subset(config: RunConfig, table: pa.Table, labels: pa.Table) -> tuple[Output, Subset]:
    """Choose the images and write nothing; return the planned output and the choice. Raises UsageError if it is empty."""
    rows = _candidates(table, labels)
    of = len(rows)
    for narrow in (_by_keys, _by_condition, _by_label, _by_sample, _by_limit):
        rows = narrow(config, rows)
    if not len(rows):
        raise UsageError(f"{_options(config)}: none of the {of:,} images is chosen")
    counts = Counter(label for label in rows["label"].to_pylist() if label is not None)
    subset = Subset(ids=rows["image_id"].to_numpy(), of=of, labels=dict(counts.most_common()))
    subset.say()
    return Output(stage="subset", key=_key(subset.ids)), subset


def read(store: Store, key: str) -> Ids:
    """Return the ids of the chosen images."""
    ids: Ids = tables.read_table(store.get("subset", key).file(FILE))["image_id"].to_numpy()
    return ids


def _key(ids: Ids) -> str:
    digest = hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()
    return stage_key("subset", registry.stage("subset").code, {}, {"ids": digest})


def _candidates(table: pa.Table, labels: pa.Table) -> pa.Table:
    """Return image_id, key, name, label, label_id, bytes and key_hash of the images that are there, by id."""
    there = living(table)
    labelled = labels.take(there["image_id"])
    blank = pa.nulls(len(there), pa.large_string())
    columns = {
        "image_id": there["image_id"],
        "key": there["key"],
        "name": pc.replace_substring_regex(there["key"], r"^.*/", ""),
        "label": labelled["label"],
        "label_id": labelled["label_id"] if "label_id" in labelled.column_names else blank,
        "bytes": there["bytes"],
        "key_hash": there["key_hash"],
    }
    return pa.table(columns)


def _options(config: RunConfig) -> str:
    names = ("where", "per_label", "sample", "limit")
    given = [("keys", config.image_keys), *((name, getattr(config, name)) for name in names)]
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in given if value is not None)


def _by_keys(config: RunConfig, rows: pa.Table) -> pa.Table:
    if config.image_keys is None:
        return rows
    option = f"--keys {config.image_keys}"
    names = [line for line in label_files.text(option, config.image_keys, "a text file").splitlines() if line.strip()]
    keys = rows["key"].to_pylist()
    meant = image_names.whole_keys(option, set(names), keys)
    if remark := image_names.check_names(option, names, meant, keys[0]):
        progress.current().say(f"  {remark}")
    return rows.filter(pc.is_in(rows["key"], pa.array(meant.values(), pa.large_string())))


def _by_condition(config: RunConfig, rows: pa.Table) -> pa.Table:
    if config.where is None:
        return rows
    readers = {"images": lambda: rows.drop_columns(["key_hash"])}
    columns, join = "*", ""
    if config.table is not None:
        given = _joined(config.table, rows)
        readers["given"] = lambda: given
        columns, join = "images.*, given.* EXCLUDE (key)", "LEFT JOIN given USING (key)"
    query = f"SELECT image_id FROM (SELECT {columns} FROM images {join}) AS images WHERE (\n{config.where}\n)"
    try:
        chosen = guarded_sql.column(readers, query).cast(pa.int64())
    except (UsageError, pa.ArrowException) as error:
        raise UsageError(f"--where {config.where}: {first_line(error)}") from None
    return rows.filter(pc.is_in(rows["image_id"], chosen))


def _joined(file: str, rows: pa.Table) -> pa.Table:
    """Read the table of `--table`, with whole keys of images. Raises UsageError."""
    option, given = f"--table {file}", _read_table(file)
    name = _key_column(option, given.column_names, rows.column_names)
    given = given.filter(pc.is_valid(given[name]))
    names, keys = [str(value) for value in given[name].to_pylist()], rows["key"].to_pylist()
    twice = next((value for value, number in Counter(names).items() if number > 1), None)
    if twice is not None:
        raise UsageError(f"{option}: {twice!r} has two rows; leave one out")
    meant = image_names.whole_keys(option, set(names), keys)
    if remark := image_names.check_names(option, names, meant, keys[0]):
        progress.current().say(f"  {remark}")
    key = pa.array([meant.get(value) for value in names], pa.large_string())
    return given.drop_columns([name]).append_column("key", key)


def _key_column(option: str, columns: list[str], taken: list[str]) -> str:
    """Return the column of keys. Raises UsageError without one, or for names that SQL cannot tell apart."""
    by_lower: dict[str, str] = {}
    for column in columns:
        if by_lower.setdefault(column.lower(), column) != column or columns.count(column) > 1:
            raise UsageError(f"{option}: has two columns {column}, as SQL reads it; rename one")
    name = next((by_lower[key] for key in label_files.KEYS if key in by_lower), None)
    if name is None:
        raise UsageError(f"{option}: needs a column key, has {', '.join(columns) or 'none'}")
    for column in columns:
        if column != name and column.lower() in taken:
            raise UsageError(f"{option}: the listing has a column {column.lower()}, too; rename it")
    return name


def _read_table(file: str) -> pa.Table:
    try:
        if file.lower().endswith(".parquet"):
            return pq.read_table(file)
        data = label_files.text(f"--table {file}", file).encode()
        # Keys are text: 000000000139 is no number.
        columns = [name.strip().strip('"') for name in data.partition(b"\n")[0].decode().split(",")]
        keys = {name: pa.large_string() for name in columns if name.lower() in label_files.KEYS}
        return pv.read_csv(io.BytesIO(data), convert_options=pv.ConvertOptions(column_types=keys))
    except OSError as error:
        raise UsageError(f"--table {file}: {error.strerror or error}") from None
    except pa.ArrowException as error:
        raise UsageError(f"--table {file} is no table: {first_line(error)}") from None


def _by_label(config: RunConfig, rows: pa.Table) -> pa.Table:
    """Keep the first images of each label, in the order of their hash; those without a label are left out."""
    if config.per_label is None:
        return rows
    rows = rows.filter(pc.is_valid(rows["label"]))
    codes = rows["label"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    order = np.lexsort((rows["image_id"].to_numpy(), rows["key_hash"].to_numpy(), codes))
    start = np.flatnonzero(np.r_[True, np.diff(codes[order]) > 0][: len(order)])
    rank = np.arange(len(order)) - np.repeat(start, np.diff([*start, len(order)]))
    return rows.take(pa.array(np.sort(order[rank < config.per_label])))


def _by_sample(config: RunConfig, rows: pa.Table) -> pa.Table:
    """Keep the first images in the order of their hash: a sample that is the same on any machine."""
    if config.sample is None:
        return rows
    order = np.lexsort((rows["image_id"].to_numpy(), rows["key_hash"].to_numpy()))
    return rows.take(pa.array(np.sort(order[: config.sample])))


def _by_limit(config: RunConfig, rows: pa.Table) -> pa.Table:
    return rows.slice(0, config.limit)
