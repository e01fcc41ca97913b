"""Remove results that no remaining version refers to, and abandoned scratch folders."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from storage.errors import UsageError
from storage.store import disk
from storage.store.drafts import LOCK
from storage.store.locks import acquire, locked, release
from storage.store.places import MANIFEST, Places
from storage.store.store import Store
from storage.store.verify import committed
from storage.store.versions import numbers, read_version, run_names

log = logging.getLogger(__name__)

TRASH = "gc."
"""Prefix of gc's own folders under tmp/; one left by a killed gc is removed at any age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to remove: version files, results, folders under tmp/."""

    versions: list[tuple[str, int]]
    results: list[Path]
    abandoned: list[Path]


def gc(
    store: Store, older_than: float = 86_400.0, keep: int | None = None, dry_run: bool = False, wait: bool = False
) -> list[str]:
    """Remove results that no remaining version refers to, and abandoned files; return their paths, relative to the store.

    With `keep`, first remove all but the newest `keep` versions of each run. Nothing younger than `older_than` seconds
    is removed, and nothing at all in a dry run. Raises Locked while another process writes, unless `wait`, and Damaged
    if a version to keep can't be read, since its results are then unknown.
    """
    if older_than < 0 or (keep is not None and keep < 1):
        raise UsageError(
            f"gc with older_than={older_than!r}, keep={keep!r}: at least 0 seconds and 1 version are needed"
        )
    places = store.places
    if not places.root.is_dir():
        return []
    with locked(places.gc_lock, wait=wait, doing=f"writing into {places.root}"):
        plan = _plan(places, time.time() - older_than, keep)
        trash = None if dry_run else _move_to_trash(places, plan)
    if trash is not None:
        disk.remove_tree(trash)  # outside the lock: it may take long, and no reader can reach it
    return [
        *(places.relative(places.version(*pair)) for pair in plan.versions),
        *(places.relative(path) for path in [*plan.results, *plan.abandoned]),
    ]


def _plan(places: Places, before: float, keep: int | None) -> Plan:
    dropped: list[tuple[str, int]] = []
    referenced: set[tuple[str, str]] = set()
    for run in run_names(places):
        existing = numbers(places, run)
        newest = existing if keep is None else existing[-keep:]
        for number in existing:
            if number not in newest and _is_old(places.version(run, number), before):
                dropped.append((run, number))
            else:
                referenced |= {(entry.stage, entry.key) for entry in read_version(places, run, number).stages}
    unreferenced = [places.result(*pair) for pair in committed(places) if pair not in referenced]
    results = [path for path in unreferenced if _is_old(path / MANIFEST, before)]
    return Plan(versions=dropped, results=results, abandoned=_abandoned(places, before))


def _abandoned(places: Places, before: float) -> list[Path]:
    entries = sorted(places.tmp.iterdir()) if places.tmp.is_dir() else []
    old = [path for path in entries if path.name.startswith(TRASH) or _is_old(path, before)]
    return [path for path in old if not _is_in_use(path)]


def _is_in_use(path: Path) -> bool:
    """Tell whether a process works in a folder under tmp/; without a lock file none does: it is made under gc.lock."""
    if not (path / LOCK).exists():
        return False
    descriptor = acquire(path / LOCK, shared=False, wait=False)
    if descriptor is None:
        return True
    release(descriptor)
    return False


def _is_old(path: Path, before: float) -> bool:
    """Tell whether a file, or if it is missing its folder, was last written before a time."""
    for candidate in (path, path.parent):
        try:
            return candidate.lstat().st_mtime <= before
        except (FileNotFoundError, NotADirectoryError):
            continue
    return False


def _move_to_trash(places: Places, plan: Plan) -> Path | None:
    """Remove versions, then move results and abandoned folders to a trash folder, each atomically; return that folder."""
    for run, number in plan.versions:  # ascending, copy first: if killed in between, only the lowest lacks its copy
        for path in (places.copy(run, number), places.version(run, number)):
            if path.exists():
                disk.unlink(path)
        disk.sync(places.run(run))
    if not plan.results and not plan.abandoned:
        return None
    trash = places.tmp / f"{TRASH}{os.urandom(8).hex()}"
    disk.make_folders(places.tmp)
    disk.make_folder(trash)
    for index, path in enumerate([*plan.results, *plan.abandoned]):
        disk.rename(path, trash / str(index))
    for stage in sorted({path.parent for path in plan.results}):
        disk.sync(stage)
    return trash
