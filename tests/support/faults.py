"""A disk that fails, a process that dies and power that goes, at the n-th change to the disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.errors import StoreError
from storage.models import user_code
from storage.store import disk, reading

user_code._OURS = (*user_code._OURS, __file__)  # what a disk or a signal does is no code of a user's

FAULTS = ("kill before", "kill after", "power", "ENOSPC", "short", "EIO", "EIO after")


class Killed(BaseException):
    """The process is dead: from now on no change reaches the disk, whatever `finally` blocks try."""


class Fault:
    """The hook: lets operations pass up to number `at`, then does what `kind` says. With at = 0 it only counts.

    For "power" it keeps book of what was never synced: bytes of files, and names in folders. Both are lost then, which
    is the worst that a file system may do.
    """

    def __init__(self, root: Path, kind: str = "", at: int = 0) -> None:
        self.root, self.kind, self.at = root, kind, at
        self.seen: list[str] = []
        self.dead = False
        self._unsynced: set[int] = set()
        self._replaced = False
        self._names: dict[int, set[str]] = defaultdict(set)

    def __call__(self, when: str, operation: str, path: Path) -> None:
        if self.dead:
            raise Killed
        if when == "before":
            self._replaced = operation == "rename" and path.is_file()
            self.seen.append(f"{operation} {path.name}")
        if when == "after":
            self._book(operation, path)
        if len(self.seen) == self.at:
            self._strike(when, operation, path)

    def _strike(self, when: str, operation: str, path: Path) -> None:
        if (self.kind, when) in {("kill before", "before"), ("kill after", "after"), ("power", "after")}:
            self.dead = True
            raise Killed
        if (self.kind, when) in {("EIO", "before"), ("EIO after", "after")}:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        if when == "before" and (self.kind == "ENOSPC" or (self.kind == "short" and operation == "write")):
            if self.kind == "short":
                path.write_bytes(b"{")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def _book(self, operation: str, path: Path) -> None:
        if operation in ("create", "write"):
            self._unsynced.add(path.stat().st_ino)
        if (
            operation in ("create", "mkdir", "rename", "link") and not self._replaced
        ):  # a replaced name has one of two files
            self._names[path.parent.stat().st_ino].add(path.name)
        if operation == "fsync":
            self._unsynced.discard(path.stat().st_ino)
            self._names.pop(path.stat().st_ino, None)

    def lose_power(self) -> None:
        """Take away everything that was never synced."""
        for folder, _, files in os.walk(self.root):
            for name in files:
                path = Path(folder, name)
                if path.stat().st_ino in self._unsynced:
                    path.write_bytes(b"")
        for folder, folders, files in os.walk(self.root):
            for name in self._names.get(os.stat(folder).st_ino, set()) & {*folders, *files}:
                path = Path(folder, name)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            folders[:] = [name for name in folders if Path(folder, name).exists()]


@contextmanager
def striking(root: Path, kind: str = "", at: int = 0) -> Iterator[Fault]:
    """Run the block on a faulty disk; the death of the "process" ends the block, other errors come through."""
    fault = Fault(root, kind, at)
    try:
        with disk.intercepted(fault):
            yield fault
    except Killed:
        if kind == "power":
            fault.lose_power()


def sweep(
    fresh: Callable[[], Path],
    job: Callable[[Path], None],
    check: Callable[[Path, str], None],
    kinds: tuple[str, ...],
    others: tuple[str, ...] = (),
) -> int:
    """Let `job` meet each of `kinds`, and one of `others` in turn, at each of its operations; `check` what is left.

    Each trial has a store of its own. Only OSError and the store's own errors may leave the job. Return the number of
    trials.
    """
    counted = fresh()
    with striking(counted) as fault:
        job(counted)
    shutil.rmtree(counted)
    trials = 0
    for at, operation in enumerate(fault.seen, 1):
        for kind in [*kinds, *others[at % len(others) :][:1]] if others else kinds:
            root = fresh()
            with striking(root, kind, at), suppress(OSError, StoreError):
                job(root)
            check(root, f"{kind} at operation {at} ({operation})")
            shutil.rmtree(root)
            trials += 1
    return trials


READS = ("once", "lasting", "healing", "file")
CODES = (errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE)


class ReadFault:
    """The hook of reads: from number `at` on they fail, once, for ever, five times, or for ever for that one file."""

    def __init__(self, kind: str = "", at: int = 0, code: int = errno.EIO) -> None:
        self.kind, self.at, self.code = kind, at, code
        self.count, self.path = 0, Path()

    def __call__(self, operation: str, path: Path) -> None:
        self.count += 1
        if self.count == self.at:
            self.path = path
        last = {"once": self.at, "healing": self.at + 4}.get(self.kind, self.count)
        if self.at and self.at <= self.count <= last and (self.kind != "file" or path == self.path):
            raise OSError(self.code, os.strerror(self.code), str(path))


def sweep_reads(
    fresh: Callable[[], Path],
    job: Callable[[Path], None],
    check: Callable[[Path, str, Exception | None], None],
    kinds: tuple[str, ...] = READS,
    *,
    in_turn: bool = False,
    step: int = 1,
) -> int:
    """Let each read of `job` fail in each way, or `in_turn` in one of them; `check` what is left and what was raised.

    With a `step`, only every so many reads.
    """
    root, trials = fresh(), 0
    with reading.intercepted(counting := ReadFault()):
        job(root)
    for at in range(1, counting.count + 1, step):
        for kind in kinds[at % len(kinds) :][:1] if in_turn else kinds:
            root, code, error = fresh(), CODES[at % len(CODES)], None
            try:
                with reading.intercepted(ReadFault(kind, at, code)):
                    job(root)
            except Exception as raised:  # `check` says which may be
                error = raised
            check(root, f"{errno.errorcode[code]} {kind} at read {at}", error)
            shutil.rmtree(root)
            trials += 1
    return trials
