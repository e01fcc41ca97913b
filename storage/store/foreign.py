"""Tell what lies in a store and is not of it. Nothing moves or removes such files; verify lists them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from storage.store import reading
from storage.store.marker import NOTHING
from storage.store.places import (
    FOLDERS,
    HAPPENED,
    MANIFEST,
    MARKER,
    PUBLISHED,
    Places,
    is_key,
    is_lock,
    is_name,
    is_scratch,
    is_update,
    version_number,
)


def paths(places: Places, named: set[tuple[str, str]]) -> Iterator[str]:
    """Yield what is foreign outside of results, from the store's root; `named` are the results that versions name."""
    for entry in reading.entries(places.root):
        known = entry.is_dir() if entry.name in FOLDERS else entry.name in (MARKER, PUBLISHED)
        if not known and entry.name not in NOTHING and not entry.name.startswith(".nfs"):
            yield entry.name
    yield from _other(places, "tmp", lambda entry: is_scratch(entry.name))
    yield from _other(places, "locks", lambda entry: is_lock(entry.name))
    yield from _other(places, "updates", lambda entry: is_update(entry.name))
    yield from _other(places, "runs", lambda entry: entry.is_dir() and is_name(entry.name))
    for run in filter(is_name, reading.names(places.runs)):
        yield from _other(places, f"runs/{run}", lambda entry: version_number(entry.name) is not None)
    yield from _other(places, "stages", lambda entry: entry.is_dir() and is_name(entry.name))
    for stage in filter(is_name, reading.names(places.stages)):
        yield from _other(places, f"stages/{stage}", lambda entry, stage=stage: is_result(places, stage, entry, named))  # type: ignore[misc]


def is_result(places: Places, stage: str, entry: os.DirEntry[str], named: set[tuple[str, str]]) -> bool:
    """Tell whether an entry of a stage is a result: a folder called by a key, with a record or named by a version."""
    if not (is_key(entry.name) and entry.is_dir(follow_symlinks=False)):
        return False
    return (stage, entry.name) in named or has_record(places, stage, entry.name)


def has_record(places: Places, stage: str, key: str) -> bool:
    """Tell whether a folder called by a key has a manifest or happened.json: then actlas made it."""
    folder = places.result(stage, key)
    return any(reading.status(folder / name) is not None for name in (MANIFEST, HAPPENED))


def _other(places: Places, folder: str, is_ours: Callable[[os.DirEntry[str]], bool]) -> Iterator[str]:
    for entry in reading.entries(places.root / folder):
        if not is_ours(entry):
            yield f"{folder}/{entry.name}"
