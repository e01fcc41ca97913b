"""Remove what no kept version names."""

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

SWEEPING = "gc."
"""What gc itself was removing when it was killed is swept whatever its age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What goes: version files, results, folders under tmp/."""

    versions: list[tuple[str, int]]
    results: list[Path]
    left: list[Path]


def gc(
    store: Store, older_than: float = 86_400.0, keep: int | None = None, dry_run: bool = False, wait: bool = False
) -> list[str]:
    """Remove results that no kept version names, and abandoned work; return the paths, relative to the store.

    With `keep`, versions below the newest `keep` of each run go first. Whatever is younger than `older_than` seconds
    stays. Nothing is removed in a dry run. Raises Locked while anybody writes, unless `wait`, and Damaged if a version
    to be kept can't be read: its results can't be known.
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
        doomed = None if dry_run else _take_away(places, plan)
    if doomed is not None:
        disk.remove_tree(doomed)  # after the lock: it may take long, and nobody can see it any more
    return [
        *(places.relative(places.version(*pair)) for pair in plan.versions),
        *(places.relative(path) for path in [*plan.results, *plan.left]),
    ]


def _plan(places: Places, before: float, keep: int | None) -> Plan:
    dropped: list[tuple[str, int]] = []
    named: set[tuple[str, str]] = set()
    for run in run_names(places):
        found = numbers(places, run)
        newest = found if keep is None else found[-keep:]
        for number in found:
            if number not in newest and _is_old(places.version(run, number), before):
                dropped.append((run, number))
            else:
                named |= {(entry.stage, entry.key) for entry in read_version(places, run, number).stages}
    unnamed = [places.result(*pair) for pair in committed(places) if pair not in named]
    results = [path for path in unnamed if _is_old(path / MANIFEST, before)]
    return Plan(versions=dropped, results=results, left=_abandoned(places, before))


def _abandoned(places: Places, before: float) -> list[Path]:
    entries = sorted(places.tmp.iterdir()) if places.tmp.is_dir() else []
    old = [path for path in entries if path.name.startswith(SWEEPING) or _is_old(path, before)]
    return [path for path in old if not _is_alive(path)]


def _is_alive(path: Path) -> bool:
    """Tell whether somebody works in a folder under tmp/. No lock file means no: they are made under gc.lock."""
    if not (path / LOCK).exists():
        return False
    descriptor = acquire(path / LOCK, shared=False, wait=False)
    if descriptor is None:
        return True
    release(descriptor)
    return False


def _is_old(path: Path, before: float) -> bool:
    """Tell whether a file was last written before a time; for one that is missing, its folder is asked."""
    for candidate in (path, path.parent):
        try:
            return candidate.lstat().st_mtime <= before
        except (FileNotFoundError, NotADirectoryError):
            continue
    return False


def _take_away(places: Places, plan: Plan) -> Path | None:
    """Drop versions, then move results and leftovers out of sight, each in one step. Return where they are."""
    for run, number in plan.versions:  # rising, and the copy first: a kill in between leaves the lowest without copy
        for path in (places.copy(run, number), places.version(run, number)):
            if path.exists():
                disk.unlink(path)
        disk.sync(places.run(run))
    if not plan.results and not plan.left:
        return None
    doomed = places.tmp / f"{SWEEPING}{os.urandom(8).hex()}"
    disk.make_folders(places.tmp)
    disk.make_folder(doomed)
    for index, path in enumerate([*plan.results, *plan.left]):
        disk.rename(path, doomed / str(index))
    for stage in sorted({path.parent for path in plan.results}):
        disk.sync(stage)
    return doomed
