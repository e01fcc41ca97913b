"""Versions of a run: immutable files that refer to results; the highest number is current."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storage.errors import Damaged, NotFound, UsageError
from storage.store import disk
from storage.store.drafts import scratch
from storage.store.places import Places, is_name, version_number
from storage.store.records import FORMAT, canonical, seal, unseal
from storage.store.results import read_result

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
    folders = places.runs.iterdir() if places.runs.is_dir() else ()
    return sorted(path.name for path in folders if is_name(path.name) and _numbers_in(path))


def numbers(places: Places, name: str) -> list[int]:
    """Return the version numbers of a run, ascending; a version counts if its file or its copy exists."""
    return _numbers_in(places.run(name))


def parse_version(data: bytes, name: str, number: int, file: str) -> Version:
    """Read a version file. Raises Damaged, naming `file`."""
    record = unseal(data, file)
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
    """Read a version, by default the current one; fall back to its copy, with a warning, if the file is damaged.

    Raises NotFound, naming the runs or versions that exist, and Damaged if neither file is intact.
    """
    existing = numbers(places, name)
    if not existing:
        there = ", ".join(run_names(places)) or "none yet"
        raise NotFound(f"no run {name!r} in {places.root}; runs there: {there}")
    wanted = existing[-1] if number is None else number
    if wanted not in existing:
        raise NotFound(f"run {name!r} has no version {wanted}; it has {_spans(existing)}")
    try:
        return _read_one(places, places.version(name, wanted), name, wanted)
    except Damaged as damage:
        version = _read_one(places, places.copy(name, wanted), name, wanted)
        log.warning("%s; reading its copy", damage)
        return version


def publish(places: Places, name: str, contents: Contents) -> int:
    """Publish contents atomically as the current version of a run and return its number.

    Equal contents make no new version. Raises Incomplete or Damaged if a result is missing or not the one named.
    """
    places.run(name)
    with scratch(places, f"publish.{name}") as folder:
        while True:
            current = read_version(places, name) if numbers(places, name) else None
            if current is not None and canonical(current.contents.record()) == canonical(contents.record()):
                disk.sync(places.run(name))
                number = current.number
                break
            _check_and_sync(places, contents)
            number = current.number + 1 if current else 1
            if _link(places, folder, name, number, current, contents):
                break
        heal(places, name, folder)
    return number


def check_links(places: Places) -> None:
    """Make a hard link, as publishing does, so that a run fails at its start. Raises Unsupported."""
    with scratch(places, "link") as folder:
        fresh = folder / "fresh"
        disk.write_file(fresh, b"")
        disk.link(fresh, folder / "linked")


def rollback(places: Places, name: str, number: int) -> int:
    """Publish the contents of an older version again and return the new number."""
    return publish(places, name, read_version(places, name, number).contents)


def heal(places: Places, name: str, folder: Path) -> None:
    """Restore each version's missing file or copy from the other one."""
    for number in numbers(places, name):
        pair = (places.version(name, number), places.copy(name, number))
        for lost, other in (pair, pair[::-1]):
            if not lost.exists() and other.exists():
                restore(places, name, number, lost=lost, other=other, folder=folder)


def restore(places: Places, name: str, number: int, *, lost: Path, other: Path, folder: Path) -> None:
    """Rewrite one of a version's two files from the other. Raises Damaged if the other is damaged too."""
    data = other.read_bytes()
    parse_version(data, name, number, places.relative(other))
    fresh = folder / lost.name
    disk.write_file(fresh, data)
    disk.sync(fresh)
    disk.rename(fresh, lost)
    disk.sync(lost.parent)


def _link(places: Places, folder: Path, name: str, number: int, current: Version | None, contents: Contents) -> bool:
    """Write the version under its number; return False if another writer took that number first."""
    previous = current.sha256 if current else None
    fresh = folder / f"{number}.json"
    disk.write_file(
        fresh, seal({"actlas": FORMAT, "name": name, "number": number, "previous": previous, **contents.record()})
    )
    disk.sync(fresh)
    disk.make_folders(places.run(name))
    try:
        disk.link(fresh, places.version(name, number))
    except FileExistsError:
        return False
    finally:
        disk.unlink(fresh)
    disk.sync(places.run(name))
    return True


def _check_and_sync(places: Places, contents: Contents) -> None:
    """Check that every result exists with the hash named, and sync its name against power loss."""
    if not contents.stages:
        raise UsageError("a version without results can't be published")
    for entry in contents.stages:
        read_result(places, entry.stage, entry.key, entry.manifest)
    for stage in sorted({entry.stage for entry in contents.stages}):
        disk.sync(places.stage(stage))
    disk.sync(places.stages)
    disk.sync(places.root)


def _read_one(places: Places, path: Path, name: str, number: int) -> Version:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{places.relative(path)} is missing; run `actlas verify --repair`") from None
    return parse_version(data, name, number, places.relative(path))


def _numbers_in(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    parsed = (version_number(path.name) for path in folder.iterdir())
    return sorted({number for number in parsed if number is not None})


def _spans(existing: list[int]) -> str:
    gaps = "" if len(existing) == existing[-1] - existing[0] + 1 else " (not all of them)"
    return f"{existing[0]} to {existing[-1]}{gaps}" if len(existing) > 1 else f"only {existing[0]}"
