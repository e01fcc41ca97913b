"""The hashes of contents that earlier runs have read, by which a listing finds images again that were moved."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows import progress, registry
from flows.config import RunConfig
from flows.planning import libraries
from storage.artefacts import tables
from storage.errors import Damaged
from storage.images.formats import WITHOUT_HEIF
from storage.images.identity import Hashes, Rows
from storage.images.listing import FILE
from storage.images.shards import shards, with_heif
from storage.store.store import Result, Store, Version, stage_key

SAME = ("key_hash", "bytes", "stamp")
"""Columns that agree between two listings if an image has the same content in both."""

log = logging.getLogger(__name__)


def images_keys(rows_keys: Iterable[str]) -> list[str]:
    """Return the keys of the `images` results of shards."""
    code, decode = registry.stage("images").code, libraries.of_key("images")
    return [stage_key("images", code, {}, {"rows": rows_key, "decode": decode}) for rows_key in rows_keys]


def decodable_key(store: Store, rows_key: str) -> str:
    """Return the key of a shard's rows: another one if images among them were rejected for want of HEIF's decoder.

    That holds for images that are not named as HEIF, with the extra `heif` installed since.
    """
    again = with_heif(rows_key)
    if again == rows_key:
        return rows_key
    before, after = (store.find("images", key) for key in images_keys([rows_key, again]))
    return again if after is not None or (before is not None and _lacked_heif(before)) else rows_key


def _lacked_heif(result: Result) -> bool:
    if not result.counts["rejected"]:
        return False
    with suppress(Damaged):  # reading the result reports it
        details = tables.read_table(result.file("images.parquet"), ["reason", "detail"]).to_pylist()
        return any(row["reason"] == "unsupported" and row["detail"].startswith(WITHOUT_HEIF) for row in details)
    return False


def known(store: Store, config: RunConfig, place: tuple[str, str], table: pa.Table) -> Hashes:
    """Return a function that looks up the hashes of images of a listing, which is `table`, of the source at `place`.

    They stand in the `images` results of published versions of the source, and of the run that `config` would have
    continued before the source changed.
    """

    def look_up(rows: Rows) -> list[str | None]:
        hashes: NDArray[np.object_] = np.full(len(table), None, object)
        missing = np.zeros(len(table), np.bool_)
        missing[rows] = True
        progress.current().say(f"  {len(rows)} images may have moved: comparing contents")
        for image_id, sha256 in _facts(store, config, place, table):
            hashes[image_id], missing[image_id] = sha256, False
            if not missing.any():
                break
        wanted: list[str | None] = hashes[rows].tolist()
        return wanted

    return look_up


Facts = tuple[NDArray[np.int64], NDArray[np.object_]]


def _facts(store: Store, config: RunConfig, place: tuple[str, str], table: pa.Table) -> Iterator[Facts]:
    """Yield ids and hashes of the images whose content is still that of the table."""
    done: set[str] = set()
    cut, every = shards(table, config.limit, config.shard_size), np.ones(len(table), np.bool_)
    for key in images_keys(shard.rows_key for shard in cut):
        done.add(key)
        yield from _read(store.find("images", key), every)
    for version in _versions(store, place):
        keys = [entry.key for entry in version.stages if entry.stage == "images" and entry.key not in done]
        listed = next((store.find("listing", entry.key) for entry in version.stages if entry.stage == "listing"), None)
        if keys and listed is not None:
            done |= set(keys)
            same = _same(listed, table)
            for key in keys:
                yield from _read(store.find("images", key), same)


def _versions(store: Store, place: tuple[str, str]) -> Iterator[Version]:
    """Yield the versions of all runs of a source, the newest of each run first."""
    for run in store.names():
        for number in reversed(store.versions(run)):
            with suppress(Damaged):  # opening that version reports it
                version = store.version(run, number)
                if (version.about.get("images"), version.about.get("kind")) == place:
                    yield version


def _same(listed: Result, table: pa.Table) -> NDArray[np.bool_]:
    """Return which images of the table, by id, have the same content in another listing; none if that is damaged."""
    same = np.zeros(len(table), np.bool_)
    try:
        path = listed.file(FILE)
        columns = [_column(tables.names(path), name) for name in SAME]
        other = tables.read_table(path, columns)
    except Damaged as damage:
        log.warning("%s; what was read from there is not compared with moved images", damage)
        return same
    count = min(len(other), len(table))
    names = zip(SAME, columns, strict=True)
    equal = [table[name].to_numpy()[:count] == other[column].to_numpy()[:count] for name, column in names]
    same[:count] = np.logical_and.reduce(equal)
    return same


def _column(there: Sequence[str], name: str) -> str:
    """Return the column of a listing; in format 1 the time of a file is its stamp."""
    return name if name in there else "mtime_ns"


def _read(result: Result | None, same: NDArray[np.bool_]) -> Iterator[Facts]:
    if result is None:
        return
    try:
        facts = tables.read_table(result.file("images.parquet"), ["image_id", "sha256"])
    except Damaged as damage:
        log.warning("%s; its images are not compared with moved ones", damage)
        return
    image_id = facts["image_id"].to_numpy()
    there = (image_id < len(same)) & same[np.minimum(image_id, len(same) - 1)]
    yield image_id[there], facts["sha256"].to_numpy()[there]
