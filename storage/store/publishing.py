"""Publish versions: checked, linked under the next number, copied, and noted in published.json."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from storage.errors import Damaged, UsageError
from storage.store import disk, published, reading
from storage.store.drafts import scratch
from storage.store.locks import locked
from storage.store.places import Places, version_number
from storage.store.records import FORMAT, canonical, seal
from storage.store.results import read_result
from storage.store.versions import Contents, Version, numbers, parse_version, read_version

log = logging.getLogger(__name__)


def publish(places: Places, name: str, contents: Contents) -> int:
    """Publish contents atomically as the current version of a run and return its number.

    Equal contents make no new version. Raises Incomplete or Damaged if a result is missing or not the one named.
    """
    places.run(name)
    with scratch(places, f"publish.{name}") as folder, locked(places.versions_lock):
        while True:
            current = read_version(places, name) if numbers(places, name) else None
            if current is not None and canonical(current.contents.record()) == canonical(contents.record()):
                disk.sync(places.run(name))
                number = current.number
                break
            _check_and_sync(places, contents)
            number = max(current.number if current else 0, published.last_number(places, name)) + 1
            if _link(places, folder, name, number, current, contents):
                break
        heal(places, name, folder)
        published.note(places, folder)
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
    there = Counter(map(version_number, reading.names(places.run(name))))
    for number in sorted(number for number, files in there.items() if number is not None and files == 1):
        pair = (places.version(name, number), places.copy(name, number))
        for lost, other in (pair, pair[::-1]):
            if reading.status(lost) is None:
                restore(places, name, number, lost=lost, other=other, folder=folder)


def restore(places: Places, name: str, number: int, *, lost: Path, other: Path, folder: Path) -> None:
    """Rewrite one of a version's two files from the other. Raises Damaged if the other is damaged too."""
    data = reading.data(other)
    if data is None:
        raise Damaged(f"{places.relative(other)} is missing; run `actlas verify --repair`")
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
