"""Read the versions of a run: immutable files that refer to results; the highest number is current."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storage.errors import CannotTell, Damaged, NotFound
from storage.store import reading
from storage.store.places import Places, is_name, version_number
from storage.store.records import FORMAT, unseal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One stage result of a version; `manifest` is the result's digest."""

    stage: str
    key: str
    manifest: str
    layer: str | None = None
    shard: int | None = None
    grid: int | None = None

    def order(self) -> tuple[object, ...]:
        return (self.stage, self.layer or "", self.grid or -1, -1 if self.shard is None else self.shard, self.key)


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a version: `about` (plain JSON) and its results, always sorted."""

    about: Mapping[str, Any]
    stages: tuple[Entry, ...]

    def __init__(self, about: Mapping[str, Any], stages: Iterable[Entry]) -> None:
        object.__setattr__(self, "about", about)
        object.__setattr__(self, "stages", tuple(sorted(stages, key=Entry.order)))

    def record(self) -> dict[str, Any]:
        stages = [{k: v for k, v in asdict(entry).items() if v is not None} for entry in self.stages]
        return {"about": dict(self.about), "stages": stages}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A published version. `sha256` is its own hash, `previous` that of its predecessor."""

    name: str
    number: int
    previous: str | None
    contents: Contents
    sha256: str = field(repr=False)
    format: int = FORMAT
    """The format of the store that wrote it."""

    @property
    def about(self) -> Mapping[str, Any]:
        return self.contents.about

    @property
    def stages(self) -> tuple[Entry, ...]:
        return self.contents.stages


def run_names(places: Places) -> list[str]:
    """Return the names of all runs with a version, sorted."""
    return [name for name in reading.names(places.runs) if is_name(name) and _numbers_in(places.runs / name)]


def numbers(places: Places, name: str) -> list[int]:
    """Return the version numbers of a run, ascending; a version counts if its file or its copy exists."""
    return _numbers_in(places.run(name))


def parse_version(data: bytes, name: str, number: int, file: str) -> Version:
    """Read a version file. Raises Damaged, naming `file`."""
    record = unseal(data, file, "name", "number", "previous", "about", "stages")
    if (record["name"], record["number"]) != (name, number):
        raise Damaged(f"{file} belongs to version {record['number']} of {record['name']}; run `actlas verify --repair`")
    contents = Contents(record["about"], [Entry(**entry) for entry in record["stages"]])
    return Version(
        name=name,
        number=number,
        previous=record["previous"],
        contents=contents,
        sha256=record["sha256"],
        format=record["actlas"],
    )


def read_version(places: Places, name: str, number: int | None = None) -> Version:
    """Read a version, by default the current one; fall back to its copy, with a warning, if the file can't be read.

    Raises NotFound, naming the runs or versions that exist, and Damaged or CannotTell if neither file is intact.
    """
    wanted = _current(places, name) if number is None else number
    try:
        return _read_one(places, places.version(name, wanted), name, wanted)
    except (Damaged, CannotTell) as fault:
        try:
            version = _read_one(places, places.copy(name, wanted), name, wanted)
        except Damaged:
            _check_listed(places, name, wanted)
            raise fault from None  # of the two, the one that may be an error of the system
        log.warning("%s; reading its copy", fault)
        return version


def _current(places: Places, name: str) -> int:
    """Return the highest number of a run. Raises NotFound."""
    existing = numbers(places, name)
    if not existing:
        there = ", ".join(run_names(places)) or "none yet"
        raise NotFound(f"no run {name!r} in {places.root}; runs there: {there}")
    return existing[-1]


def _check_listed(places: Places, name: str, number: int) -> None:
    """Raise NotFound if a run has no version of this number. Only failed reads come here: listing takes long for many."""
    _current(places, name)
    existing = numbers(places, name)
    if number not in existing:
        raise NotFound(f"run {name!r} has no version {number}; it has {_spans(existing)}")


def file_time(places: Places, name: str, number: int) -> float:
    """Return when a version's file was written, or its copy. Raises NotFound."""
    for path in (places.version(name, number), places.copy(name, number)):
        status = reading.status(path)
        if status is not None:
            return status.st_mtime
    raise NotFound(f"run {name!r} has no version {number}")


def _read_one(places: Places, path: Path, name: str, number: int) -> Version:
    data = reading.data(path)
    if data is None:
        raise Damaged(f"{places.relative(path)} is missing; run `actlas verify --repair`")
    return parse_version(data, name, number, places.relative(path))


def _numbers_in(folder: Path) -> list[int]:
    parsed = map(version_number, reading.names(folder))
    return sorted({number for number in parsed if number is not None})


def _spans(existing: list[int]) -> str:
    gaps = "" if len(existing) == existing[-1] - existing[0] + 1 else " (not all of them)"
    return f"{existing[0]} to {existing[-1]}{gaps}" if len(existing) > 1 else f"only {existing[0]}"
