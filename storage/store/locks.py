"""Locks that the kernel releases when their holder dies: `flock`, never the mere existence of a file.

On a shared file system they are advisory; correctness rests on link and rename. A forked child inherits the open
file and would hold its dead parent's lock, so children close every descriptor.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import Locked, Unsupported
from storage.store import disk

HAS_FLOCK = importlib.util.find_spec("fcntl") is not None
if HAS_FLOCK:
    import fcntl

NO_FLOCK = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What file systems without `flock` answer."""

_held: set[int] = set()


def _forget_in_child() -> None:
    for descriptor in list(_held):
        os.close(descriptor)  # closing keeps the parent's lock; LOCK_UN would release it
    _held.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_forget_in_child)


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True, doing: str = "") -> Iterator[None]:
    """Hold a lock for the duration of the block. Raises Locked, naming `doing` and the holder, unless `wait`."""
    descriptor = acquire(path, shared=shared, wait=wait)
    if descriptor is None:
        raise Locked(f"{doing or path.name} is being done by {holder(path)}; wait for it to end, or try again later")
    try:
        yield
    finally:
        release(descriptor)


def acquire(path: Path, *, shared: bool, wait: bool) -> int | None:
    """Take a lock and return its descriptor, or None if it is held elsewhere and `wait` is false.

    Raises Unsupported where the system or the file system has no `flock`.
    """
    if not HAS_FLOCK:
        raise Unsupported(
            f"{path}: this system ({sys.platform}) has no flock to lock it with; write the store on Linux"
        )
    disk.make_folders(path.parent)
    descriptor = disk.open_lock(path)
    _held.add(descriptor)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        release(descriptor)
        return None
    except OSError as error:
        _held.discard(descriptor)
        os.close(descriptor)
        raise (_unsupported(path, error) if error.errno in NO_FLOCK else error) from None
    except BaseException:
        release(descriptor)
        raise
    return descriptor


def _unsupported(path: Path, error: OSError) -> Unsupported:
    remedy = "put the store on a local disk, or on a network file system with locks"
    return Unsupported(f"{path}: this file system has no flock ({error.strerror}); {remedy}")


def release(descriptor: int) -> None:
    """Release a lock; do nothing in a forked child, which never held it."""
    if descriptor in _held:
        _held.discard(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # in case a child just forked has not closed its copy yet
        os.close(descriptor)


def holder(path: Path) -> str:
    """Name the process that holds a lock, if /proc/locks lists it."""
    try:
        inode = str(path.stat().st_ino)
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return "another process"
    fields = [line.split() for line in lines if "->" not in line]
    pids = [f[4] for f in fields if f[1] == "FLOCK" and f[5].rsplit(":", 1)[-1] == inode]
    return f"process {', '.join(pids)}" if pids else "another process"
