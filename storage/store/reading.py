"""Every read of the store, each behind a hook for fault tests: a file is there, is missing, or nothing is known of it.

Only `ENOENT` and `ENOTDIR` mean that a file is missing. Any other error of the system raises CannotTell, which no caller
may take for damage: bytes that were not read cannot differ. A hook is called before each operation with its name (list,
open, read, stat) and the path, and may raise `OSError`.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from storage.errors import CannotTell, Damaged

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Hook = Callable[[str, Path], None]
MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})
BUFFER = 1 << 18

_hook: Hook | None = None


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
    """Let errors that mean "missing" through, and raise CannotTell for any other error of the system."""
    try:
        if _hook is not None:
            _hook(name, path)
        yield
    except OSError as error:
        if error.errno in MISSING:
            raise
        raise cannot_tell(path, error) from error


def cannot_tell(path: Path, error: OSError) -> CannotTell:
    """Return the error of a file that could not be read, in the system's words."""
    return CannotTell(str(path), error.errno, error.strerror or str(error))


def system_error(error: BaseException | None) -> OSError | CannotTell | None:
    """Return the error of the system behind an error of a library that read a file; None if there is none."""
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        if isinstance(error, CannotTell) or (isinstance(error, OSError) and error.errno not in {None, *MISSING}):
            return error
        if isinstance(error, RuntimeError) and "can't start new thread" in str(error):  # Python keeps no number
            return OSError(errno.EAGAIN, str(error))
        if isinstance(error, MemoryError):
            return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        error = error.__cause__ or error.__context__
    return None


def status(path: Path, *, follow: bool = True) -> os.stat_result | None:
    """Return the status of a file or folder, None if it is missing. Raises CannotTell."""
    try:
        with _operation("stat", path):
            return os.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_folder(path: Path) -> bool:
    """Tell whether a path leads to a folder. Raises CannotTell."""
    target = status(path)
    return target is not None and stat.S_ISDIR(target.st_mode)


def is_file(path: Path) -> bool:
    """Tell whether a path leads to a regular file. Raises CannotTell."""
    target = status(path)
    return target is not None and stat.S_ISREG(target.st_mode)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, sorted by name; nothing if there is no such folder. Raises CannotTell."""
    try:
        with _operation("list", folder), os.scandir(folder) as scanned:
            return sorted(scanned, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def names(folder: Path) -> list[str]:
    """Return the sorted names in a folder; none if there is no such folder. Raises CannotTell."""
    return [entry.name for entry in entries(folder)]


def data(path: Path) -> bytes | None:
    """Return the bytes of a file, None if it is missing. Raises CannotTell, and Damaged if it is no regular file."""
    try:
        with opened(path) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def digest(path: Path) -> dict[str, int | str] | None:
    """Return the size and SHA-256 of a file, None if it is missing. Raises as `data`."""
    try:
        with opened(path) as file:
            sha256 = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
            return {"bytes": file.tell(), "sha256": sha256}
    except (FileNotFoundError, NotADirectoryError):
        return None


def opened(path: Path) -> BinaryIO:
    """Open a file to read. Raises FileNotFoundError, CannotTell, and Damaged if it is no regular file."""
    return cast(BinaryIO, io.BufferedReader(_File(path), BUFFER))


class _File(io.RawIOBase):
    """A regular file whose every read passes the hook."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _operation("open", path):
            try:
                # O_NONBLOCK: a pipe in the file's place must not hang the reader.
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError as error:
                if error.errno in (errno.ENXIO, errno.EISDIR) and not is_file(path):
                    raise _irregular(path) from None
                raise
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self.close()
            raise _irregular(path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with _operation("read", self.path):
            return os.readv(self._descriptor, [buffer])

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: os.fstat(self._descriptor).st_size}
        if starts[whence] + offset < 0:  # the file is shorter than its format demands: no error of the system
            raise ValueError(f"{starts[os.SEEK_END]} bytes are too few")
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def close(self) -> None:
        if not self.closed and hasattr(self, "_descriptor"):
            os.close(self._descriptor)
        super().close()


def _irregular(path: Path) -> Damaged:
    return Damaged(f"{path} is damaged (it is not a regular file); run `actlas verify --repair`")
