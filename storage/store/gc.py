"""Remove results that no remaining version refers to, and abandoned scratch folders."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import Damaged, Lost, UsageError
from storage.store import disk, marker, published, reading
from storage.store.locks import acquire, locked, release
from storage.store.marker import Kind
from storage.store.places import LOCK, MANIFEST, MARKER, PUBLISHED, Places, is_scratch
from storage.store.results import foreign_files, is_copied, recorded_files
from storage.store.store import Store
from storage.store.verify import Pair, committed
from storage.store.versions import numbers, read_version, run_names

log = logging.getLogger(__name__)

TRASH = "gc."
"""Prefix of gc's own folders under tmp/; one left by a killed gc is removed at any age."""

DAY = 86_400.0
DAMAGED = "results with a damaged record, for `actlas verify --repair`"
ACCEPT = "if they are lost for good, `actlas gc --accept-lost` goes on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to remove: version files, results, folders under tmp/; and how many are left, by the reason."""

    versions: list[tuple[str, int]]
    results: list[Path]
    abandoned: list[Path]
    left: Counter[str] = field(default_factory=Counter)


def gc(
    store: Store,
    older_than: float = DAY,
    keep: int | None = None,
    dry_run: bool = False,
    wait: bool = False,
    *,
    accept_lost: bool = False,
    now: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Remove results that no remaining version refers to, and abandoned files; return their paths, relative to the store.

    With `keep`, first remove all but the newest `keep` versions of each run. Nothing younger than `older_than` seconds
    is removed, no foreign file, nothing restored within the last day, and nothing at all in a dry run. `now` is the time
    to look from, `say` gets a line on what is left.

    Raises Locked while another process writes, unless `wait`; Damaged or CannotTell if a version to keep can't be read,
    since its results are then unknown; Lost if versions that were published are not there, unless `accept_lost`.
    """
    if older_than < 0 or (keep is not None and keep < 1):
        raise UsageError(
            f"gc with older_than={older_than!r}, keep={keep!r}: at least 0 seconds and 1 version are needed"
        )
    places = store.places
    if not _is_marked(places, accept_lost):
        return []
    now = time.time() if now is None else now
    with locked(places.gc_lock, wait=wait, doing=f"writing into {places.root}"):
        if not accept_lost:
            _check_versions(places)
        plan = _plan(places, now, older_than, keep, accept_lost)
        trash = None if dry_run else _move_to_trash(places, plan, accept_lost)
    if trash is not None:
        disk.remove_tree(trash)  # outside the lock: it may take long, and no reader can reach it
    if plan.left:
        say("left: " + ", ".join(f"{number} {reason}" for reason, number in sorted(plan.left.items())))
    return [
        *(places.relative(places.version(*pair)) for pair in plan.versions),
        *(places.relative(path) for path in [*plan.results, *plan.abandoned]),
    ]


def _is_marked(places: Places, accept_lost: bool) -> bool:
    """Tell whether the folder is a store with its marker, False if it is empty. Raises Lost or UsageError otherwise."""
    kind = marker.check_writable(places)
    if kind is Kind.NEW:
        return False
    if kind is Kind.UNMARKED and not accept_lost:
        raise Lost(
            f"{places.root} has no {MARKER}: it is of format 1, or being restored; the next run, or "
            "`actlas verify --repair`, writes it, and `actlas gc --accept-lost` goes on without"
        )
    marker.claim(places)
    return True


def _check_versions(places: Places) -> None:
    """Raise Lost if a version is not there that was published: its results would be taken for garbage."""
    try:
        record = published.read(places)
    except Damaged:
        record = None
    if record is None:
        raise Lost(
            f"{places.root} has no intact {PUBLISHED}, which tells what versions there should be; it may be being "
            "restored. If not, `actlas verify --repair` makes it again"
        )
    for run, gone in published.missing(places, record).items():
        which = ", ".join(map(str, gone[:5])) + ("…" if len(gone) > 5 else "")
        raise Lost(
            f"version {which} of run {run!r} was published and is not in {places.runs}, which may be out of reach or "
            f"being restored; nothing was removed; {ACCEPT}"
        )
    if not run_names(places) and any(True for _ in committed(places)):
        raise Lost(
            f"{places.root} has results and no version, so {places.runs} may be out of reach or being restored; "
            f"nothing was removed; {ACCEPT}"
        )


def _plan(places: Places, now: float, older_than: float, keep: int | None, accept_lost: bool) -> Plan:
    dropped: list[tuple[str, int]] = []
    referenced: set[Pair] = set()
    for run in run_names(places):
        existing = numbers(places, run)
        newest = set(existing if keep is None else existing[-keep:])
        for before, number in zip([None, *existing], existing, strict=False):
            in_order = before != number - 1 or (run, before) in dropped[-1:]
            if number not in newest and in_order and _age(places.version(run, number), now) >= older_than:
                dropped.append((run, number))
            else:
                referenced |= {(entry.stage, entry.key) for entry in read_version(places, run, number).stages}
    plan = Plan(versions=dropped, results=[], abandoned=[])
    for pair in committed(places):
        if pair not in referenced:
            _sort(plan, plan.results, places.result(*pair), _reason_to_stay(places, pair, now, older_than, accept_lost))
    for path in (places.tmp / name for name in reading.names(places.tmp)):
        _sort(plan, plan.abandoned, path, _reason_to_wait(path, now, older_than))
    return plan


def _sort(plan: Plan, going: list[Path], path: Path, reason: str) -> None:
    if reason:
        plan.left[reason] += 1
    else:
        going.append(path)


def _reason_to_stay(places: Places, pair: Pair, now: float, older_than: float, accept_lost: bool) -> str:
    """Return why a result that no version names is left; empty if it goes."""
    folder = places.result(*pair)
    age = min(_age(folder / MANIFEST, now), _age(folder, now))
    if age < older_than:
        return "results too young"
    try:
        copied = is_copied(folder)
    except Damaged:
        return DAMAGED
    if recorded_files(folder, *pair) is None:
        return DAMAGED
    if foreign_files(folder, *pair):
        return "results with foreign files"
    return "results restored or copied here within a day" if copied and age < DAY and not accept_lost else ""


def _reason_to_wait(path: Path, now: float, older_than: float) -> str:
    """Return why something under tmp/ is left; empty if it goes."""
    if not is_scratch(path.name):
        return "foreign in tmp/"
    if not path.name.startswith(TRASH) and _age(path, now) < older_than:
        return "folders of work too young"
    return "folders of work in use" if _is_in_use(path) else ""


def _is_in_use(path: Path) -> bool:
    """Tell whether a process works in a folder under tmp/; without a lock file none does: it is made under gc.lock."""
    if reading.status(path / LOCK) is None:
        return False
    descriptor = acquire(path / LOCK, shared=False, wait=False)
    if descriptor is None:
        return True
    release(descriptor)
    return False


def _age(path: Path, now: float) -> float:
    """Return the seconds since a file's content or inode changed, whichever is later; of its folder, if it is missing."""
    for candidate in (path, path.parent):
        status = reading.status(candidate, follow=False)
        if status is not None:
            return now - max(status.st_mtime, status.st_ctime)
    return 0.0


def _move_to_trash(places: Places, plan: Plan, accept_lost: bool) -> Path | None:
    """Remove versions, then move results and abandoned folders to a trash folder, each atomically; return that folder."""
    if not (plan.versions or plan.results or plan.abandoned or accept_lost):
        return None
    trash = places.tmp / f"{TRASH}{os.urandom(8).hex()}"
    disk.make_folders(places.tmp)
    disk.make_folder(trash)
    if accept_lost:
        published.accept_lost(places, trash)
    _remove_versions(places, plan.versions, trash)
    for index, path in enumerate([*plan.results, *plan.abandoned]):
        disk.rename(path, trash / str(index))
    for stage in sorted({path.parent for path in plan.results}):
        disk.sync(stage)
    return trash


def _remove_versions(places: Places, dropped: list[tuple[str, int]], folder: Path) -> None:
    """Remove versions in ascending order, copy first: if killed in between, only the lowest lacks its copy."""
    if dropped:
        published.drop(places, dropped, folder)
    for run, number in dropped:
        for path in (places.copy(run, number), places.version(run, number)):
            if reading.status(path) is not None:
                disk.unlink(path)
        disk.sync(places.run(run))
