"""Every system call by which the store changes the disk, each behind a hook for fault tests.

A hook is called before and after each operation and may raise: an `OSError` simulates a failing disk, anything else the
death of the process. Libraries that write files themselves (pyvips' pyramids) write into a draft only, and its commit
reads back, hashes and syncs their files.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import Unsupported
from storage.store import reading

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Hook = Callable[[str, str, Path], None]
"""Called with ("before" or "after", the operation's name, the path)."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What file systems without hard links answer, FAT among them."""
SYNCERS = 8

_hook: Hook | None = None


class DiskFull(OSError):
    """The disk is full; `unwritten` bytes remain to be written, 0 if unknown."""

    unwritten = 0


@contextmanager
def intercepted(hook: Hook) -> Iterator[None]:
    """Install a hook for the duration of the block (tests only)."""
    global _hook
    previous, _hook = _hook, hook
    try:
        yield
    finally:
        _hook = previous


@contextmanager
def _operation(name: str, path: Path) -> Iterator[None]:
    try:
        if _hook is not None:
            _hook("before", name, path)
        yield
        if _hook is not None:
            _hook("after", name, path)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFull(error.errno, error.strerror, str(path)) from error


class Writer(io.RawIOBase):
    """A new file, written sequentially; it must not exist yet. Closing does not sync: the commit does."""

    def __init__(self, path: Path) -> None:
        self.path, self._at = path, 0
        with _operation("create", path):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of `data`, in as many calls as it takes; return the number of bytes."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            with _operation("write", self.path):
                while done < len(view):
                    done += os.write(self._descriptor, view[done:])
        except DiskFull as full:
            full.unwritten = len(view) - done
            raise
        self._at += done
        return done

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def write_file(path: Path, data: ReadableBuffer) -> None:
    """Write a new file without syncing it."""
    with Writer(path) as writer:
        writer.write(data)


def make_folder(path: Path) -> None:
    """Create a folder that must not exist in a parent that must."""
    with _operation("mkdir", path):
        os.mkdir(path)


def make_folders(path: Path) -> None:
    """Create a folder with its parents durably: the parent of each new one is synced. Safe to call concurrently."""
    if reading.is_folder(path):
        return
    make_folders(path.parent)
    try:
        make_folder(path)
    except FileExistsError:
        if not reading.is_folder(path):
            raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file or folder to disk. After a failure, abandon the attempt: the kernel may have dropped pages."""
    with _operation("fsync", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_all(paths: Sequence[Path]) -> None:
    """Sync many files in parallel: the file system merges concurrent syncs (measured: 7 to 16 times faster)."""
    if _hook is not None or len(paths) < 3:  # a fault test counts operations, so their order must not vary
        for path in paths:
            sync(path)
        return
    with ThreadPoolExecutor(min(SYNCERS, len(paths))) as pool:
        list(pool.map(sync, paths))


def rename(source: Path, target: Path) -> None:
    """Move a file or folder atomically. Raises `OSError` instead of replacing a folder that isn't empty."""
    with _operation("rename", target):
        os.rename(source, target)


def link(source: Path, target: Path) -> None:
    """Create a hard link. Raises `FileExistsError` if the name is taken, Unsupported where there are no hard links."""
    try:
        with _operation("link", target):
            os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        raise Unsupported(
            f"{target.parent}: this file system has no hard links ({error.strerror}); put the store on a local disk, "
            "or on a network file system that has them"
        ) from error


def unlink(path: Path) -> None:
    """Remove one file."""
    with _operation("unlink", path):
        os.unlink(path)


def remove_tree(path: Path) -> None:
    """Remove a folder and its contents without following links. Ignore files that another process removes first."""
    status = reading.status(path, follow=False)
    if status is None or not stat.S_ISDIR(status.st_mode):
        with _ignoring_missing():
            unlink(path)
        return
    with _ignoring_missing():
        for name in reading.names(path):
            remove_tree(path / name)
        with _operation("rmdir", path):
            os.rmdir(path)


@contextmanager
def _ignoring_missing() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        return


def open_lock(path: Path) -> int:
    """Open a lock file, creating it if needed, and return its descriptor; it stays empty and is never removed."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        with _operation("create", path):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # another user's store, or a read-only disk


def free_bytes(path: Path) -> int:
    """Return the bytes free to an ordinary user on the file system of `path` or of its nearest existing parent."""
    while reading.status(path) is None:
        path = path.parent
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
