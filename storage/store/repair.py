"""Restore files that have a second copy, and set damaged results aside for the next run to recompute."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from storage.errors import Damaged, NotFound, StoreError
from storage.store import disk, marker, published, reading, updates
from storage.store.drafts import check_only_ours, scratch, set_aside
from storage.store.locks import locked
from storage.store.marker import Kind
from storage.store.places import COPY, HAPPENED, MANIFEST, Places
from storage.store.publishing import restore
from storage.store.records import sha256
from storage.store.result_checks import Damage, check_read, check_result, describe_difference, faults
from storage.store.results import manifest_copy, read_manifest, recorded_files, render_happened
from storage.store.store import Store
from storage.store.verify import Pair
from storage.store.versions import numbers, parse_version, read_version, run_names

log = logging.getLogger(__name__)

Digests = dict[Pair, set[str]]


def repair(store: Store, damages: Iterable[Damage]) -> list[Pair]:
    """Repair what `verify` reported; return the (stage, key) that the next run has to recompute, sorted.

    A version file is rewritten from its copy, or the copy from it, and so is every file of a result that has a copy: its
    manifest (in `happened.json`) and all of a listing. A result still damaged is set aside; a lost `happened.json` is
    replaced by one that says so. Foreign files stay. Everything is judged again first, so that an outdated list does no
    harm, and nothing is changed if that shows a file that can't be read: then CannotTell is raised. The next `verify`
    reports again what can't be repaired.
    """
    places, listed = store.places, faults(damages)
    if marker.recognise(places) is Kind.NEW:
        return []
    check_read(listed)
    versions = sorted({(damage.run, damage.number) for damage in listed if damage.run})
    pairs = sorted({(damage.stage, damage.key) for damage in listed if damage.stage})
    _judge(places, versions, pairs)
    marker.mend(places)
    with scratch(places, "repair") as folder:
        with locked(places.versions_lock):
            for run, number in versions:
                _repair_version(places, run, number, folder)
            digests = _digests(places)
            published.note(places, folder)
            for damage in listed:
                if damage.path.startswith(f"{places.updates.name}/"):
                    _set_update_aside(places, places.root / damage.path)
        return [pair for pair in pairs if _repair_result(places, *pair, digests.get(pair, set()), folder)]


def _judge(places: Places, versions: list[tuple[str, int]], pairs: list[Pair]) -> None:
    """Read all that a repair decides by. Raises CannotTell and Newer before anything is changed."""
    digests = _digests(places)
    for run, number in versions:
        for path in (places.version(run, number), places.copy(run, number)):
            reading.data(path)
    for pair in pairs:
        check_read(check_result(places, *pair, digests.get(pair, set())))


def _set_update_aside(places: Places, path: Path) -> None:
    """Set a damaged announcement aside: it counts as none, and only announcing it again gives it back."""
    with suppress(FileNotFoundError):
        set_aside(places, path, lambda moved: _is_update(moved, path.name))


def _is_update(path: Path, name: str) -> bool:
    try:
        return bool(updates.parse(reading.data(path) or b"", name))
    except Damaged:
        return False


def _repair_version(places: Places, run: str, number: int, folder: Path) -> None:
    pair = (places.version(run, number), places.copy(run, number))
    for lost, other in (pair, pair[::-1]):
        try:
            parse_version(reading.data(lost) or b"", run, number, places.relative(lost))
        except Damaged:
            try:
                restore(places, run, number, lost=lost, other=other, folder=folder)
            except Damaged as error:
                log.warning("version %d of %s can't be repaired, neither file is intact: %s", number, run, error)
                return


def _repair_result(places: Places, stage: str, key: str, digests: set[str], folder: Path) -> bool:
    """Repair one result; return whether it has to be recomputed."""
    path = places.result(stage, key)
    if not reading.is_folder(path):
        return bool(digests)
    _repair_manifest(path, stage, key, digests, folder)
    _repair_copied(path, stage, key, folder)
    broken = _broken(places, stage, key, digests)
    if broken == {places.relative(path / HAPPENED)}:
        lost = {"lost": "the record was damaged and could not be repaired"}
        _replace(path / HAPPENED, render_happened(lost, reading.data(path / MANIFEST) or b"", _inode(path)), folder)
        return False
    return bool(broken) and _set_result_aside(places, stage, key, digests)


def _set_result_aside(places: Places, stage: str, key: str, digests: set[str]) -> bool:
    """Set a damaged result aside, unless it is sound where it is judged again, or holds foreign files."""
    try:
        check_only_ours(places, stage, key)
    except StoreError as error:
        log.warning("%s", error)
        return False
    aside = set_aside(
        places, places.result(stage, key), lambda moved: not _broken(places, stage, key, digests, folder=moved)
    )
    return aside is not None


def _broken(places: Places, stage: str, key: str, digests: set[str], folder: Path | None = None) -> set[str]:
    """Return the paths of a result that are damaged. Raises CannotTell."""
    damages = faults(check_result(places, stage, key, digests, folder))
    check_read(damages)
    return {damage.path for damage in damages}


def _inode(path: Path) -> int:
    status = reading.status(path)
    return status.st_ino if status is not None else 0


def _repair_manifest(path: Path, stage: str, key: str, digests: set[str], folder: Path) -> None:
    """Rewrite a damaged manifest from its copy, if the versions that refer to the result refer to that one."""
    try:
        read_manifest(path, stage, key)
    except Damaged:
        copy = manifest_copy(path, stage, key)
        if copy is not None and (not digests or sha256(copy) in digests):
            _replace(path / MANIFEST, copy, folder)


def _repair_copied(path: Path, stage: str, key: str, folder: Path) -> None:
    """Rewrite damaged files from their copies in the result, and damaged copies from the files."""
    recorded = recorded_files(path, stage, key) or {}
    for name, expected in recorded.items():
        twin = name.removesuffix(COPY) if name.endswith(COPY) else f"{name}{COPY}"
        if (
            recorded.get(twin) != expected
            or not describe_difference(path / name, expected)
            or describe_difference(path / twin, expected)
        ):
            continue
        _replace(path / name, reading.data(path / twin) or b"", folder)


def _replace(path: Path, data: bytes, folder: Path) -> None:
    """Replace a damaged file atomically."""
    fresh = folder / f"{path.parent.name}.{path.name}.{os.urandom(4).hex()}"
    disk.write_file(fresh, data)
    disk.sync(fresh)
    disk.rename(fresh, path)
    disk.sync(path.parent)


def _digests(places: Places) -> Digests:
    """Collect the digests by which readable versions refer to each result. Raises CannotTell and Newer."""
    digests: Digests = {}
    for run in run_names(places):
        for number in numbers(places, run):
            with suppress(Damaged, NotFound):
                for entry in read_version(places, run, number).stages:
                    digests.setdefault((entry.stage, entry.key), set()).add(entry.manifest)
    return digests
