"""Restore files that have a second copy, and set damaged results aside for the next run to recompute."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from storage.errors import Damaged, NotFound
from storage.store import disk
from storage.store.drafts import scratch, set_aside
from storage.store.places import COPY, HAPPENED, MANIFEST, Places
from storage.store.records import sha256
from storage.store.results import manifest_copy, read_result, recorded_files, render_happened
from storage.store.store import Store
from storage.store.verify import Damage, check_result, describe_difference
from storage.store.versions import numbers, parse_version, read_version, restore, run_names

log = logging.getLogger(__name__)


def repair(store: Store, damages: Iterable[Damage]) -> list[tuple[str, str]]:
    """Repair what `verify` reported; return the (stage, key) that the next run has to recompute, sorted.

    A version file is rewritten from its copy, or the copy from it, and so is every file of a result that has a copy: its
    manifest (in `happened.json`) and all of a listing. A result still damaged then moves to tmp/, and so do strays; a
    lost `happened.json` is replaced by one that says so. Every result is checked again first, so that an outdated list
    does no harm. The next `verify` reports again what can't be repaired (both files of a version lost).
    """
    places, listed = store.places, list(damages)
    with scratch(places, "repair") as folder:
        for run, number in sorted({(damage.run, damage.number) for damage in listed if damage.run}):
            _repair_version(places, run, number, folder)
        for damage in listed:
            if damage.kind == "unexpected":
                with suppress(FileNotFoundError):
                    set_aside(places, places.root / damage.path, "unexpected")
        digests = _digests(places)
        pairs = sorted({(damage.stage, damage.key) for damage in listed if damage.stage})
        return [pair for pair in pairs if _repair_result(places, *pair, digests.get(pair, set()), folder)]


def _repair_version(places: Places, run: str, number: int, folder: Path) -> None:
    pair = (places.version(run, number), places.copy(run, number))
    for lost, other in (pair, pair[::-1]):
        try:
            parse_version(lost.read_bytes(), run, number, places.relative(lost))
        except (Damaged, OSError):
            try:
                restore(places, run, number, lost=lost, other=other, folder=folder)
            except (Damaged, FileNotFoundError) as error:
                log.warning("version %d of %s can't be repaired, neither file is intact: %s", number, run, error)
                return


def _repair_result(places: Places, stage: str, key: str, digests: set[str], folder: Path) -> bool:
    """Repair one result; return whether it has to be recomputed."""
    path = places.result(stage, key)
    if not path.is_dir():
        return True
    _repair_manifest(places, stage, key, digests, folder)
    _repair_copied(places, stage, key, folder)
    broken = {damage.path for damage in check_result(places, stage, key, digests) if damage.kind != "unexpected"}
    if not broken:
        return False
    if broken == {places.relative(path / HAPPENED)}:
        lost = {"lost": "the record was damaged and could not be repaired"}
        _replace(path / HAPPENED, render_happened(lost, (path / MANIFEST).read_bytes()), folder)
        return False
    set_aside(places, path, f"damaged.{stage}.{key}")
    return True


def _repair_manifest(places: Places, stage: str, key: str, digests: set[str], folder: Path) -> None:
    """Rewrite a damaged manifest from its copy, if the versions that refer to the result refer to that one."""
    try:
        read_result(places, stage, key)
    except (Damaged, OSError):
        copy = manifest_copy(places, stage, key)
        if copy is not None and (not digests or sha256(copy) in digests):
            _replace(places.result(stage, key) / MANIFEST, copy, folder)


def _repair_copied(places: Places, stage: str, key: str, folder: Path) -> None:
    """Rewrite damaged files from their copies in the result, and damaged copies from the files."""
    path, recorded = places.result(stage, key), recorded_files(places, stage, key)
    for name, expected in recorded.items():
        twin = name.removesuffix(COPY) if name.endswith(COPY) else f"{name}{COPY}"
        if (
            recorded.get(twin) != expected
            or not describe_difference(path / name, expected)
            or describe_difference(path / twin, expected)
        ):
            continue
        _replace(path / name, (path / twin).read_bytes(), folder)


def _replace(path: Path, data: bytes, folder: Path) -> None:
    """Replace a damaged file atomically."""
    fresh = folder / f"{path.parent.name}.{path.name}"
    disk.write_file(fresh, data)
    disk.sync(fresh)
    disk.rename(fresh, path)
    disk.sync(path.parent)


def _digests(places: Places) -> dict[tuple[str, str], set[str]]:
    """Collect the digests by which readable versions refer to each result."""
    digests: dict[tuple[str, str], set[str]] = {}
    for run in run_names(places):
        for number in numbers(places, run):
            with suppress(Damaged, NotFound):
                for entry in read_version(places, run, number).stages:
                    digests.setdefault((entry.stage, entry.key), set()).add(entry.manifest)
    return digests
