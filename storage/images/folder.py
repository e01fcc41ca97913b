"""A folder tree of image files; the label of an image is the first folder of its key."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from storage import errors
from storage.images.contract import BYTES_MOST, Read, Scan, changed, is_image_name, leaves_root, too_large, unreadable
from storage.store.places import is_store


@dataclass(frozen=True, slots=True)
class Folder:
    """The image files under `root`, keyed by their POSIX path relative to it.

    Hidden files and folders are skipped, and so is a store of ours: its pictures are no images. Symbolic links are
    followed while they stay inside the root; one that leaves it, points to one of its own parents or to nothing is
    counted and not followed.
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

    def scan(self) -> Scan:
        found = Scan()
        root = os.path.realpath(self.root)
        try:
            _walk(root, root, "", frozenset({root}), found)
        except OSError as error:
            # A folder that cannot be listed would look like removed images.
            raise errors.UsageError(f"cannot list {error.filename or root}: {error.strerror or error}") from error
        return found

    def read(self, rows: pa.Table, names: tuple[str, ...]) -> Iterator[tuple[int, Read]]:
        columns = (rows[name].to_pylist() for name in ("key", "bytes", "mtime_ns", "removed"))
        for index, (key, size, mtime_ns, removed) in enumerate(zip(*columns, strict=True)):
            if not removed:
                yield index, _content(self.place(key, None), size, mtime_ns)

    def place(self, key: str, container: str | None) -> str:
        if leaves_root(key):
            raise errors.UsageError(f"the key {key!r} leaves the folder {self.root}; list the folder anew")
        return os.path.join(self.root, key)


def _walk(root: str, folder: str, prefix: str, parents: frozenset[str], found: Scan) -> None:
    """Add what is under `folder` to `found`, folder by folder; `parents` are the real paths on the way down."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        if not _is_text(entry.name):
            found.refused["name-not-utf-8"] += 1
        elif (real := _inside(root, entry, found)) is None:
            continue
        elif entry.is_dir():
            if real in parents:
                found.refused["link-loop"] += 1
            elif not is_store(real):
                _walk(root, entry.path, f"{prefix}{entry.name}/", parents | {real}, found)
        else:
            _add(entry, prefix, found)


def _add(entry: os.DirEntry[str], prefix: str, found: Scan) -> None:
    if not is_image_name(entry.name):
        found.refused["not-an-image-name"] += 1
        return
    try:
        status = entry.stat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        found.refused["not-a-file"] += 1
        return
    label = prefix.split("/", 1)[0] if prefix else None
    found.add(
        prefix + entry.name,
        container=-1,
        offset=0,
        length=status.st_size,
        mtime_ns=status.st_mtime_ns,
        label=label,
    )


def _inside(root: str, entry: os.DirEntry[str], found: Scan) -> str | None:
    """Give the real path of an entry, or None (and count it) where a link leaves the root or points to nothing."""
    if not entry.is_symlink():
        return os.path.realpath(entry.path) if entry.is_dir() else entry.path
    real = os.path.realpath(entry.path)
    if not os.path.exists(real):
        found.refused["broken-link"] += 1
        return None
    if os.path.commonpath([root, real]) != root:
        found.refused["link-out-of-root"] += 1
        return None
    return real


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _content(place: str, size: int, mtime_ns: int) -> Read:
    """Read one listed file; whatever happened to it since is an error value."""
    try:
        # O_NONBLOCK: a pipe put in the file's place must not hang the run.
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != (size, mtime_ns):
                return changed(place)
            if size > BYTES_MOST:
                return too_large(size)
            content = file.read()
    except OSError as error:
        return unreadable(place, error)
    return content if len(content) == size else changed(place)
