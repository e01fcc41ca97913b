"""Compare one result with its manifest: report what is damaged, missing, unreadable or foreign."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import CannotTell, Damaged
from storage.store import reading
from storage.store.places import HAPPENED, MANIFEST, Places
from storage.store.records import unseal
from storage.store.results import describe, foreign_files, read_manifest, recorded_files, survey

FOREIGN, UNREADABLE = "foreign", "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Damage:
    """One fault: `path` from the store's root, `kind` one of damaged, missing, unreadable, foreign (which is no fault).

    `stage` and `key` are set for a stage result, `run` and `number` for a version.
    """

    path: str
    kind: str
    detail: str = ""
    stage: str = ""
    key: str = ""
    run: str = ""
    number: int = 0

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}" + (f" ({self.detail})" if self.detail else "")


def faults(damages: Iterable[Damage]) -> list[Damage]:
    """Return the damages without what is foreign."""
    return [damage for damage in damages if damage.kind != FOREIGN]


def check_result(places: Places, stage: str, key: str, digests: set[str], folder: Path | None = None) -> list[Damage]:
    """Compare a result with its manifest, and the manifest with the `digests` by which versions refer to it.

    If the manifest itself is damaged, the files are still compared with its copy in happened.json, or with what can be
    read of it. `folder` is where the result lies, if it was moved.
    """
    folder = folder or places.result(stage, key)
    try:
        if not reading.is_folder(folder):
            return [_result_damage(stage, key, "", "missing")]
        return [*_compare(folder, stage, key), *_check_manifest(folder, stage, key, digests)]
    except CannotTell as error:
        return [_result_damage(stage, key, "", UNREADABLE, error.reason)]


def check_read(damages: Iterable[Damage]) -> None:
    """Raise CannotTell if a file could not be read: damage to it is not known."""
    for damage in damages:
        if damage.kind == UNREADABLE:
            raise CannotTell(damage.path, None, damage.detail)


def describe_difference(path: Path, expected: dict[str, Any] | None) -> str:
    """Describe how a file differs from its record, or `happened.json` (None) from its own seal; empty if it doesn't."""
    try:
        if expected is None:
            unseal(reading.data(path) or b"", HAPPENED, "happened")
            return ""
        actual = describe(path)
    except Damaged as error:
        return str(error)
    if actual["bytes"] != expected["bytes"]:
        return f"has {actual['bytes']} bytes, not {expected['bytes']}"
    return "" if actual == expected else "has the right size and other bytes"


def _check_manifest(folder: Path, stage: str, key: str, digests: set[str]) -> list[Damage]:
    try:
        digest = read_manifest(folder, stage, key).digest
    except Damaged as error:
        kind = "damaged" if reading.status(folder / MANIFEST) is not None else "missing"
        return [_result_damage(stage, key, MANIFEST, kind, str(error))]
    return [
        _result_damage(stage, key, MANIFEST, "damaged", f"is {digest[:12]}…, a version names {other[:12]}…")
        for other in sorted(digests - {digest})
    ]


def _compare(folder: Path, stage: str, key: str) -> Iterator[Damage]:
    """Compare the files of a result with their records, each by itself."""
    expected: dict[str, Any] = {**(recorded_files(folder, stage, key) or {}), HAPPENED: None}
    entries = {name: entry for name, entry in survey(folder) if not entry.is_dir(follow_symlinks=False)}
    for name, record in sorted(expected.items()):
        entry = entries.get(name)
        if entry is None:
            yield _result_damage(stage, key, name, "missing")
        elif not entry.is_file(follow_symlinks=False):
            yield _result_damage(stage, key, name, "damaged", "is not a regular file")
        else:
            yield from _compare_file(folder, stage, key, name, record)
    yield from (_result_damage(stage, key, name, FOREIGN) for name in foreign_files(folder, stage, key))


def _compare_file(folder: Path, stage: str, key: str, name: str, record: dict[str, Any] | None) -> Iterator[Damage]:
    try:
        if detail := describe_difference(folder / name, record):
            yield _result_damage(stage, key, name, "damaged", detail)
    except CannotTell as error:
        yield _result_damage(stage, key, name, UNREADABLE, error.reason)


def _result_damage(stage: str, key: str, name: str, kind: str, detail: str = "") -> Damage:
    path = f"stages/{stage}/{key}" + (f"/{name}" if name else "")
    return Damage(path=path, kind=kind, detail=detail, stage=stage, key=key)
