"""A folder tree of image files; an image's label is the first folder of its key that is a WordNet id, else the first."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from storage import errors
from storage.images import labels as label_values
from storage.images.contract import (
    MAX_BYTES,
    Read,
    Scan,
    State,
    changed,
    leaves_root,
    reason_not_listed,
    too_large,
    unreadable,
)
from storage.store.places import is_store


@dataclass(frozen=True, slots=True)
class Folder:
    """The image files under `root`, keyed by their POSIX path relative to it.

    Whatever is not listed is counted: other files, hidden ones, and a store of actlas, as its pictures are not input.
    Symbolic links are followed if they stay inside the root, but not out of it, to one of their own parents or to nothing.
    Images in a folder without permission stay as they were listed before. `labels` are other names for first folders.
    """

    root: Path
    labels: Mapping[str, str] = field(default_factory=dict)

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
            raise errors.UsageError(f"cannot list {error.filename or root}: {error.strerror or error}") from error
        scan.label = [label and self.labels.get(label, label) for label in scan.label]
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
    for entry in _entries(folder, prefix, scan):
        if entry.name.startswith("."):
            scan.refused["hidden-folder" if entry.is_dir() else "hidden"] += 1
        elif not _is_text(entry.name):
            scan.refused["name-not-utf-8"] += 1
        elif (real := _inside(root, entry, scan)) is None:
            continue
        elif not entry.is_dir():
            _add(entry, prefix, scan)
        elif real in parents:
            scan.refused["link-loop"] += 1
        elif holds_store(real):
            scan.refused["store"] += 1
        else:
            _walk(root, entry.path, f"{prefix}{entry.name}/", parents | {real}, scan)


def _entries(folder: str, prefix: str, scan: Scan) -> list[os.DirEntry[str]]:
    """Return a folder's entries by name; none, counted, without permission to list a folder below the root."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except PermissionError:
        if not prefix:
            raise
        _close(prefix, scan)
        return []


def _close(prefix: str, scan: Scan) -> None:
    if prefix not in scan.closed:
        scan.refused["no-permission"] += 1
        scan.closed.append(prefix)


def _add(entry: os.DirEntry[str], prefix: str, scan: Scan) -> None:
    if reason := reason_not_listed(entry.name):
        scan.refused[reason] += 1
        return
    try:
        status = entry.stat()
    except FileNotFoundError:
        return
    except PermissionError:  # the names of a folder may be read without the right to enter it
        _close(prefix, scan)
        return
    if not stat.S_ISREG(status.st_mode):
        scan.refused["not-a-file"] += 1
        return
    label = label_values.wordnet_id_in(prefix + entry.name) or (prefix.split("/", 1)[0] if prefix else None)
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
    if not is_inside(root, real):
        scan.refused["link-out-of-root"] += 1
        return None
    return real


def holds_store(place: str) -> bool:
    """Tell whether a folder is a store of actlas; one without permission is not known to be."""
    try:
        return is_store(place)
    except errors.CannotTell as error:
        if error.code in (errno.EACCES, errno.EPERM):
            return False
        raise


def is_inside(root: str, real: str) -> bool:
    """Tell whether a real path is the root's, or below it."""
    return os.path.commonpath([root, real]) == root


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
