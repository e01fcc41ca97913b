"""The only file that changes the disk: every mutating system call of the store, each behind a hook for fault tests.

A hook sees every operation before and after it happens and may raise: an `OSError` stands for a failing disk, anything
else for the death of the process. Writers of foreign libraries that can't be led through here (pyvips' pyramids) write
into a draft only, and the draft's commit reads back, hashes and syncs whatever they left.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import Unsupported

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
    """An operation found no room; `asked` bytes were still to be written, 0 where that isn't known."""

    asked = 0


@contextmanager
def intercepted(hook: Hook) -> Iterator[None]:
    """Install a hook for the length of the block (tests only)."""
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
    """A new file, written front to back; it must not exist yet. Closing does not sync: the commit does."""

    def __init__(self, path: Path) -> None:
        self.path, self._at = path, 0
        with _operation("create", path):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of `data`, however many calls it takes; return its bytes."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            with _operation("write", self.path):
                while done < len(view):
                    done += os.write(self._descriptor, view[done:])
        except DiskFull as full:
            full.asked = len(view) - done
            raise
        self._at += done
        return done

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def write_file(path: Path, data: ReadableBuffer) -> None:
    """Write a new file in one go, without syncing it."""
    with Writer(path) as writer:
        writer.write(data)


def make_folder(path: Path) -> None:
    """Make one folder; its parent must exist, it must not."""
    with _operation("mkdir", path):
        os.mkdir(path)


def make_folders(path: Path) -> None:
    """Make a folder with its parents so that they last: each new one's parent is synced. Others may do so too."""
    if path.is_dir():
        return
    make_folders(path.parent)
    try:
        make_folder(path)
    except FileExistsError:
        if not path.is_dir():
            raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Force a file or folder to the medium. A failure must abandon the attempt: the kernel may have dropped pages."""
    with _operation("fsync", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_all(paths: Sequence[Path]) -> None:
    """Sync many files side by side: the file system joins concurrent syncs into one (measured: 7 to 16 times)."""
    if _hook is not None or len(paths) < 3:  # a fault test counts operations, so their order must not vary
        for path in paths:
            sync(path)
        return
    with ThreadPoolExecutor(min(SYNCERS, len(paths))) as pool:
        list(pool.map(sync, paths))


def rename(source: Path, target: Path) -> None:
    """Move a file or folder in one step. A folder never replaces a folder with anything in it (`OSError`)."""
    with _operation("rename", target):
        os.rename(source, target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, only if nobody has taken it (`FileExistsError`).

    Raises Unsupported where the file system has no hard links.
    """
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
    """Remove a folder with all in it, following no link. What somebody else has removed meanwhile is no error."""
    if path.is_symlink() or not path.is_dir():
        with _missing_is_fine():
            unlink(path)
        return
    with _missing_is_fine():
        for child in sorted(path.iterdir()):
            remove_tree(child)
        with _operation("rmdir", path):
            os.rmdir(path)


@contextmanager
def _missing_is_fine() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        return


def open_lock(path: Path) -> int:
    """Open a lock file, making it if need be; it stays empty and is never removed. Return its descriptor."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        with _operation("create", path):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # somebody else's store, or a disk that is read-only


def free_bytes(path: Path) -> int:
    """Count the bytes an ordinary user may still write on the file system of `path` or its nearest existing parent."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
