"""A folder tree of image files; the label of an image is the first folder of its key."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from storage import errors
from storage.images.contract import (
    MAX_BYTES,
    Read,
    Scan,
    State,
    changed,
    is_image_name,
    leaves_root,
    too_large,
    unreadable,
)
from storage.store.places import is_store


@dataclass(frozen=True, slots=True)
class Folder:
    """The image files under `root`, keyed by their POSIX path relative to it.

    Hidden files and folders are skipped, and so is a store of actlas: its pictures are not input. Symbolic links are
    followed if they stay inside the root; one that leaves it, points to one of its own parents or to nothing is counted
    and not followed.
    """

    root: Path

    @property
    def kind(self) -> str:
        return "folder"

    @property
    def uri(self) -> str:
        return str(self.root)

    @property
    def containers(self) -> tuple[str, ...]:
        return ()

    def scan(self, known: Mapping[str, State]) -> Scan:
        scan = Scan()
        root = os.path.realpath(self.root)
        try:
            _walk(root, root, "", frozenset({root}), scan)
        except OSError as error:
            # Skipping a folder that cannot be listed would mark its images as removed.
            raise errors.UsageError(f"cannot list {error.filename or root}: {error.strerror or error}") from error
        return scan

    def read(self, rows: pa.Table, names: tuple[str, ...]) -> Iterator[tuple[int, Read]]:
        columns = (rows[name].to_pylist() for name in ("key", "bytes", "mtime_ns", "removed"))
        for index, (key, size, mtime_ns, removed) in enumerate(zip(*columns, strict=True)):
            if not removed:
                yield index, _content(self.place(key, None), size, mtime_ns)

    def place(self, key: str, container: str | None) -> str:
        if leaves_root(key):
            raise errors.UsageError(f"the key {key!r} leaves the folder {self.root}; list the folder again")
        return os.path.join(self.root, key)


def _walk(root: str, folder: str, prefix: str, parents: frozenset[str], scan: Scan) -> None:
    """Add the files under `folder` to `scan`, recursively; `parents` are the real paths of the folders above."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        if not _is_text(entry.name):
            scan.refused["name-not-utf-8"] += 1
        elif (real := _inside(root, entry, scan)) is None:
            continue
        elif entry.is_dir():
            if real in parents:
                scan.refused["link-loop"] += 1
            elif not is_store(real):
                _walk(root, entry.path, f"{prefix}{entry.name}/", parents | {real}, scan)
        else:
            _add(entry, prefix, scan)


def _add(entry: os.DirEntry[str], prefix: str, scan: Scan) -> None:
    if not is_image_name(entry.name):
        scan.refused["not-an-image-name"] += 1
        return
    try:
        status = entry.stat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        scan.refused["not-a-file"] += 1
        return
    label = prefix.split("/", 1)[0] if prefix else None
    scan.add(
        prefix + entry.name,
        container=-1,
        offset=0,
        length=status.st_size,
        mtime_ns=status.st_mtime_ns,
        label=label,
    )


def _inside(root: str, entry: os.DirEntry[str], scan: Scan) -> str | None:
    """Return the real path of an entry, or None (and count it) if a link leaves the root or points to nothing."""
    if not entry.is_symlink():
        return os.path.realpath(entry.path) if entry.is_dir() else entry.path
    real = os.path.realpath(entry.path)
    if not os.path.exists(real):
        scan.refused["broken-link"] += 1
        return None
    if os.path.commonpath([root, real]) != root:
        scan.refused["link-out-of-root"] += 1
        return None
    return real


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _content(place: str, size: int, mtime_ns: int) -> Read:
    """Read one listed file; return an error value if it has changed or can't be read."""
    try:
        # O_NONBLOCK: a pipe put in the file's place must not hang the run.
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != (size, mtime_ns):
                return changed(place)
            if size > MAX_BYTES:
                return too_large(size)
            content = file.read()
    except OSError as error:
        return unreadable(place, error)
    return content if len(content) == size else changed(place)
