"""Recognise a store by its marker, and found one in a new or empty folder. Nothing is written without the marker."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from enum import Enum
from pathlib import Path

from storage.errors import Damaged, NotFound, UsageError
from storage.store import disk, published, reading
from storage.store.places import FOLDERS, MARKER, PUBLISHED, Places, is_scratch, is_store
from storage.store.records import FORMAT, seal, unseal
from storage.store.versions import read_version, run_names

NOTHING = frozenset({"lost+found", ".snapshot", ".DS_Store"})
"""Names that a file system or a desktop leaves in an empty folder; so are names that start with `.nfs`."""


class Kind(Enum):
    """What a folder is to a store."""

    NEW = "missing, or empty"
    MARKED = "a store with its marker"
    UNMARKED = "a store without marker, as of format 1"
    BROKEN = "a store whose marker is damaged"
    FOREIGN = "a folder with other files"


def recognise(places: Places) -> Kind:
    """Tell what the folder of a store is. Raises Newer and CannotTell, and UsageError if it is no folder."""
    _check_folder(places.root)
    data = reading.data(places.marker)
    if data is not None:
        try:
            unseal(data, MARKER, "id")
        except Damaged:
            return Kind.BROKEN
        return Kind.MARKED
    others = [name for name in reading.names(places.root) if not _is_nothing(name)]
    if MARKER in others:  # another process has just written it
        return recognise(places)
    if not others or _is_beginning(places, others):
        return Kind.NEW
    return Kind.UNMARKED if _is_unmarked_store(places, others) else Kind.FOREIGN


def check_readable(places: Places) -> None:
    """Raise NotFound unless the folder is a store or empty; a damaged marker does not prevent reading."""
    if reading.status(places.root) is None:
        raise NotFound(
            f"there is no store at {places.root}; `--store` or ACTLAS_STORE names one, `actlas run` creates one"
        )
    if recognise(places) is Kind.FOREIGN:
        raise NotFound(f"{places.root} is not an actlas store: {_content(places)} and no {MARKER}; name another folder")


def check_writable(places: Places) -> Kind:
    """Tell what the folder is, if a store may be written there. Raises UsageError for any other folder, and Damaged."""
    kind = recognise(places)
    if kind is Kind.FOREIGN:
        raise UsageError(
            f"--store {places.root}: not an actlas store, and not empty ({_content(places)}); "
            f"give a new folder, for example {places.root / 'actlas-store'}"
        )
    if kind is Kind.BROKEN:
        raise Damaged(f"{places.marker} is damaged; run `actlas verify --repair`")
    if kind is Kind.NEW and (outer := _outer_store(places.root)) is not None:
        raise UsageError(f"--store {places.root} lies inside the store {outer}; give a folder outside of it")
    return kind


def claim(places: Places) -> None:
    """Make sure that the folder is a store with a marker: create one in a new folder, or adopt one of format 1."""
    if check_writable(places) is not Kind.MARKED:
        _create_store(places)


def mend(places: Places) -> None:
    """Give a store its marker back if that is lost or damaged. Raises as `check_writable` if the folder is no store."""
    if recognise(places) is Kind.BROKEN:
        others = [name for name in reading.names(places.root) if not _is_nothing(name) and name != MARKER]
        if others and not _is_unmarked_store(places, others):
            return
        disk.make_folders(places.tmp)
        disk.rename(places.marker, places.tmp / f"marker.{os.getpid()}.{os.urandom(8).hex()}")
    claim(places)


def _create_store(places: Places) -> None:
    """Write the marker, after the record of what is published: there is none without the other."""
    disk.make_folders(places.tmp)
    evidence = published.render(published.current(places, {}))
    _create(places, places.published, evidence)
    _create(places, places.marker, seal({"actlas": FORMAT, "id": os.urandom(16).hex()}))
    disk.sync(places.root)


def _create(places: Places, path: Path, data: bytes) -> None:
    """Create a file whole, unless it is there."""
    fresh = places.tmp / f"new.{os.getpid()}.{os.urandom(8).hex()}"
    try:
        disk.write_file(fresh, data)
        disk.sync(fresh)
        with suppress(FileExistsError):  # another process was first
            disk.link(fresh, path)
    finally:
        with suppress(OSError):  # an earlier error is worth more, and gc takes what is left
            disk.unlink(fresh)


def _check_folder(root: Path) -> None:
    status = reading.status(root)
    link = reading.status(root, follow=False) if status is None else None
    if link is not None and stat.S_ISLNK(link.st_mode):
        raise UsageError(f"--store {root} is a symbolic link that leads nowhere; give a folder")
    if status is not None and not stat.S_ISDIR(status.st_mode):
        raise UsageError(f"--store {root} is a file; give a folder")


def _is_nothing(name: str) -> bool:
    return name in NOTHING or name.startswith(".nfs")


def _is_beginning(places: Places, names: list[str]) -> bool:
    """Tell whether another process is founding the store, or was killed doing so."""
    return set(names) <= {"tmp", "locks", PUBLISHED} and not [
        name for name in [*reading.names(places.tmp), *reading.names(places.locks)] if not is_scratch(name)
    ]


def _is_unmarked_store(places: Places, names: list[str]) -> bool:
    """Tell whether a folder has results and a readable version, or nothing that is not of a store."""
    if set(names) <= {*FOLDERS, PUBLISHED} and reading.is_file(places.gc_lock):
        return True
    return {"stages", "runs"} <= set(names) and any(_has_version(places, run) for run in run_names(places))


def _has_version(places: Places, run: str) -> bool:
    try:
        return bool(read_version(places, run))
    except Damaged:
        return False


def _outer_store(root: Path) -> Path | None:
    """Return the store among whose own files a folder lies; beside them it is foreign to that store, and may be."""
    real = Path(os.path.realpath(root))
    above = [folder for folder in real.parents if real.relative_to(folder).parts[0] in FOLDERS]
    return next((folder for folder in above if is_store(folder)), None)


def _content(places: Places) -> str:
    names = [name for name in reading.names(places.root) if not _is_nothing(name)]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
