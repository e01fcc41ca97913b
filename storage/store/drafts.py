"""Write a result: in a scratch folder, synced, described by its manifest, then renamed into place."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.errors import CannotTell, Damaged, Incomplete, NoSpace, StoreError
from storage.store import disk, marker, reading
from storage.store.locks import acquire, locked, release
from storage.store.places import COPY, HAPPENED, LOCK, MANIFEST, Places
from storage.store.results import (
    Result,
    draft_contents,
    foreign_files,
    read_manifest,
    read_result,
    render_happened,
    render_manifest,
)

log = logging.getLogger(__name__)


class Draft:
    """A result being written: put files under `path`, then commit. An uncommitted draft is removed."""

    def __init__(self, places: Places, stage: str, key: str, path: Path) -> None:
        self.stage, self.key, self.path = stage, key, path
        self._places = places
        self._happened: dict[str, object] = {}
        self._committed = False

    def note(self, **happened: object) -> None:
        """Record what happened (times, host, effective batch); it is not part of the result."""
        self._happened.update(happened)

    def commit(self, counts: Mapping[str, int], copied: Iterable[str] = ()) -> Result:
        """Make the result permanent: sync everything, write the manifest last, rename into place, sync the parent.

        Files named in `copied` get a second copy to repair from: those that can't be recomputed as they were.
        If another writer committed this key first, return theirs and drop ours; log a difference.
        """
        if self._committed:
            raise RuntimeError(f"draft {self.stage}/{self.key} is already committed")
        for name in copied:
            disk.write_file(self.path / f"{name}{COPY}", reading.data(self.path / name) or b"")
        files, folders = draft_contents(self.path)
        if own := {MANIFEST, HAPPENED} & set(files):
            raise RuntimeError(f"draft {self.stage}/{self.key} has a {', '.join(sorted(own))} of its own")
        manifest = render_manifest(self.stage, self.key, counts, files)
        happened = self.path / HAPPENED
        disk.write_file(happened, render_happened(self._happened, manifest, os.stat(self.path).st_ino))
        disk.sync_all([*files.values(), happened])
        disk.write_file(self.path / MANIFEST, manifest)
        disk.sync(self.path / MANIFEST)
        disk.sync_all(folders)
        ours = Result(stage=self.stage, key=self.key, path=self.path, manifest={}, digest="")
        placed = _place(self._places, ours)
        self._committed = True
        return placed


@contextmanager
def draft(places: Places, stage: str, key: str) -> Iterator[Draft]:
    """Open a draft of a result. Raises NoSpace if the disk fills up inside the block, whichever library was writing."""
    places.result(stage, key)  # rejects bad names before anything is written
    with scratch(places, f"{stage}.{key}") as folder:
        path = folder / "result"
        disk.make_folder(path)
        yield Draft(places, stage, key, path)


@contextmanager
def scratch(places: Places, purpose: str) -> Iterator[Path]:
    """Create a private folder under tmp/ and remove it afterwards; gc can't run meanwhile.

    The folder holds a locked file, so that a later gc can tell a folder in use from an abandoned one.
    """
    folder = places.tmp / f"{purpose}.{os.getpid()}.{os.urandom(8).hex()}"
    owner, descriptor = os.getpid(), None
    with raising_no_space(places, folder):
        marker.claim(places)
    with raising_no_space(places, folder), locked(places.gc_lock, shared=True):
        try:
            with raising_no_space(places, folder):  # again: the bytes must be counted before they are cleared
                disk.make_folders(places.tmp)
                disk.make_folder(folder)
                descriptor = acquire(folder / LOCK, shared=False, wait=True)
                yield folder
        finally:
            if os.getpid() == owner:  # a forked child that gets here must not remove its parent's files
                _clear(folder, descriptor)


@contextmanager
def raising_no_space(places: Places, folder: Path) -> Iterator[None]:
    """Turn any error that a full disk caused into NoSpace."""
    try:
        yield
    except Exception as error:
        unwritten = _unwritten_when_full(error)
        if unwritten is None:
            raise
        raise NoSpace(str(places.root), _written(folder) + unwritten, disk.free_bytes(places.root)) from error


def set_aside(places: Places, path: Path, is_sound: Callable[[Path], bool]) -> Path | None:
    """Move a result or file under tmp/, where it keeps its name and place, and judge it once more there.

    Return its new path; gc removes it later. If it is sound, or if that cannot be told, put it back; return None.
    """
    aside = places.tmp / f"aside.{os.urandom(8).hex()}"
    target = aside / places.relative(path)
    disk.make_folders(target.parent)
    disk.rename(path, target)
    disk.sync(path.parent)
    try:
        sound = is_sound(target)
    except BaseException:
        _put_back(target, path, aside)
        raise
    if not sound:
        return target
    _put_back(target, path, aside)
    return None


def _put_back(target: Path, path: Path, aside: Path) -> None:
    try:
        disk.rename(target, path)
        disk.sync(path.parent)
        disk.remove_tree(aside)
    except (OSError, CannotTell) as error:  # a fresh one may have taken its place
        log.warning("%s was put back from %s only in part: %s", path, aside, error)


def _place(places: Places, ours: Result) -> Result:
    target = places.result(ours.stage, ours.key)
    disk.make_folders(target.parent)
    while True:
        try:
            disk.rename(ours.path, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            theirs = _adopt(places, ours)
            if theirs is not None:
                return theirs
        else:
            disk.sync(target.parent)
            return read_result(places, ours.stage, ours.key)


def _adopt(places: Places, ours: Result) -> Result | None:
    """Return the result already in place if it is intact; else move it out of the way and return None."""
    target = places.result(ours.stage, ours.key)
    try:
        theirs = read_result(places, ours.stage, ours.key)
    except (Damaged, Incomplete) as error:
        log.warning("replacing a damaged result: %s", error)
        check_only_ours(places, ours.stage, ours.key)
        with suppress(FileNotFoundError):
            set_aside(places, target, lambda moved: _has_manifest(moved, ours.stage, ours.key))
        return None
    disk.sync(target.parent)
    if reading.data(ours.path / MANIFEST) != reading.data(target / MANIFEST):
        log.warning("%s/%s was committed by another writer with different bytes; theirs is kept", ours.stage, ours.key)
    return theirs


def check_only_ours(places: Places, stage: str, key: str) -> None:
    """Raise StoreError if a result that has to make room holds files that actlas did not write."""
    if foreign := foreign_files(places.result(stage, key), stage, key):
        raise StoreError(
            f"stages/{stage}/{key} is damaged and holds {foreign[0]!r}, which is not actlas's; move that elsewhere first"
        )


def _has_manifest(folder: Path, stage: str, key: str) -> bool:
    try:
        return bool(read_manifest(folder, stage, key))
    except Damaged:
        return False


def _unwritten_when_full(error: BaseException | None) -> int | None:
    """Return the bytes that did not fit if an error or one of its causes is a full disk, 0 if unknown; else None."""
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        if isinstance(error, NoSpace):
            return None
        if isinstance(error, disk.DiskFull):
            return error.unwritten
        if isinstance(error, OSError) and error.errno in disk.FULL:
            return 0
        if os.strerror(errno.ENOSPC) in str(error):  # libvips and Arrow keep only the text
            return 0
        error = error.__cause__ or error.__context__
    return None


def _written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


def _clear(folder: Path, descriptor: int | None) -> None:
    """Remove a scratch folder. Leave what can't be removed to gc, so as not to mask an error being raised."""
    try:
        disk.remove_tree(folder)
    except (OSError, CannotTell) as error:
        log.warning("could not remove %s (%s); gc will", folder, error)
    finally:
        if descriptor is not None:
            release(descriptor)
