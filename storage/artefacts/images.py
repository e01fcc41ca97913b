"""The images of a run as tables: paths, labels, sizes, and the reasons for rejecting some."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atlas.arrays import Int
from storage.artefacts import tables
from storage.store.results import Result

NAMES = ("image_id", "key", "container", "removed")
"""Columns of a listing that name an image."""


def read_rows(
    result: Result, file: str, image_ids: Sequence[int] | None, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read the rows of these images, or all rows, from a table sorted by image_id."""
    path = result.file(file)
    if image_ids is None:
        return tables.read_table(path, columns)
    return tables.read_sorted(path, "image_id", list(image_ids), columns)


def with_paths(listed: pa.Table, labels: pa.Table, about: Mapping[str, Any]) -> pa.Table:
    """Return image_id, key, path, label, and label_id where labels have one; the tables have the same rows."""
    paths = pa.array(_paths(listed, about), pa.large_string())
    table = listed.select(["image_id", "key"]).append_column("path", paths)
    for name in labels.column_names[1:]:
        table = table.append_column(name, labels[name])
    return table


def with_facts(table: pa.Table, shards: Iterable[Result], image_ids: Sequence[int] | None) -> pa.Table:
    """Append width, height and reason, read from the shards of the stage `images`."""
    columns = ["image_id", "width", "height", "reason"]
    wanted = None if image_ids is None else np.unique(np.asarray(image_ids, np.int64))
    parts = [_facts_of(tables.read_table(shard.file("images.parquet"), columns=columns), wanted) for shard in shards]
    return table.join(pa.concat_tables(parts), "image_id", join_type="left outer").sort_by("image_id")


def _facts_of(facts: pa.Table, wanted: Int | None) -> pa.Table:
    """Return the facts of the images `wanted`, ascending; of all without it."""
    if wanted is None or not len(facts):
        return facts
    ids = facts["image_id"].to_numpy()
    return facts.filter(pc.is_in(facts["image_id"], pa.array(_within(wanted, ids.min(), ids.max()))))


def read_rejects(shards: Iterable[Result]) -> pa.Table:
    """Read the facts of the rejected images, sorted by image_id, from the shards of the stage `images`."""
    return pa.concat_tables(
        tables.read_table(shard.file("images.parquet")).filter(pc.is_valid(pc.field("reason"))) for shard in shards
    ).sort_by("image_id")


def read_choices(shards: Iterable[Result], image_ids: Sequence[int] | None) -> pa.Table:
    """Read the first classes of these images, or of all, from the shards of the stage `choices`."""
    if image_ids is None:
        return pa.concat_tables(read_rows(shard, "choices.parquet", None) for shard in shards)
    ids = np.unique(np.asarray(image_ids, np.int64))
    return pa.concat_tables(_choices_of(shard, ids) for shard in shards)


def _choices_of(shard: Result, ids: Int) -> pa.Table:
    bounds = tables.bounds(shard.file("choices.parquet"), "image_id")
    return read_rows(shard, "choices.parquet", [] if bounds is None else _within(ids, *bounds).tolist())


def _within(ids: Int, first: int, last: int) -> Int:
    """Return those of ascending ids that a shard can have: to look for all of them in every shard would take long."""
    return ids[np.searchsorted(ids, first) : np.searchsorted(ids, last, side="right")]


def read_labels(result: Result) -> tuple[list[str | None], Int]:
    """Return the distinct labels, None last, and the index of each image's label, by image_id."""
    table = tables.read_table(result.file("labels.parquet"), ["label"])
    encoded = table["label"].combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    return [*names, None], pc.fill_null(encoded.indices, len(names)).to_numpy(zero_copy_only=False).astype(np.int64)


def _paths(listed: pa.Table, about: Mapping[str, Any]) -> list[str]:
    root = str(about["root"])
    if about["kind"] == "folder":
        return [os.path.join(root, key) for key in listed["key"].to_pylist()]
    containers = about["containers"]
    return [os.path.join(root, containers[number]) for number in listed["container"].to_pylist()]
