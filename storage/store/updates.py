"""The last announced weights of each run, kept until a version has them: `updates/<name>.json`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.errors import Damaged
from storage.store import disk, reading
from storage.store.drafts import scratch
from storage.store.locks import locked
from storage.store.places import Places
from storage.store.records import FORMAT, seal, unseal

log = logging.getLogger(__name__)


def read(places: Places, name: str) -> dict[str, Any] | None:
    """Return the record of a run's last announcement, or None. A damaged one counts as none, with a warning."""
    path = places.update(name)
    data = reading.data(path)
    if data is None:
        return None
    try:
        return parse(data, places.relative(path))
    except Damaged:
        log.warning(
            "%s is damaged and left out; say `actlas model updated %s --weights FILE` again",
            places.relative(path),
            name,
        )
        return None


def parse(data: bytes, name: str) -> dict[str, Any]:
    """Read the bytes of an announcement. Raises Damaged, naming `name`, and Newer."""
    return unseal(data, name, "name", "announced")


def keep(places: Places, name: str, announced: str, record: Mapping[str, object]) -> bool:
    """Keep an announcement unless a later one is kept; tell whether it is. Times sort as text."""
    with _writing(places, name) as folder:
        last = read(places, name)
        if last is not None and last["announced"] > announced:
            return False
        fresh = folder / "update.json"
        disk.write_file(fresh, seal({**record, "actlas": FORMAT, "name": name, "announced": announced}))
        disk.sync(fresh)
        disk.make_folders(places.updates)
        disk.rename(fresh, places.update(name))
        disk.sync(places.updates)
        return True


def drop(places: Places, name: str, announced: str) -> None:
    """Remove a run's announcement unless a later one has taken its place."""
    if read(places, name) is None:
        return
    with _writing(places, name):
        last = read(places, name)
        if last is not None and last["announced"] <= announced:
            disk.unlink(places.update(name))
            disk.sync(places.updates)


@contextmanager
def _writing(places: Places, name: str) -> Iterator[Path]:
    """Hold the lock of version files, as whoever looks at them or changes them does, and a scratch folder."""
    with scratch(places, f"update.{name}") as folder, locked(places.versions_lock):
        yield folder
