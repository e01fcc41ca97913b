"""Open the files that hold several images each, on a disk or through `remote`."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from storage import file_kinds
from storage.images.contract import Scan, State
from storage.images.tar_headers import ReadAt


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open file: `size`, `stamp`, which changes with its content, and the path or file that pyarrow opens."""

    read_at: ReadAt
    size: int
    stamp: int
    source: Any


class Files(Protocol):
    """Files under a root, named relative to it. Small and picklable."""

    @property
    def root(self) -> Path | str:
        """The folder, or its address."""

    def place(self, name: str) -> str:
        """Return the path or address to open."""

    def opened(self, name: str) -> AbstractContextManager[Opened]:
        """Open a file for the duration of the block. Raise `OSError`."""

    def state(self, name: str) -> tuple[int, int]:
        """Return the size and stamp of a file without opening it. Raise `OSError`."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Files under a folder; a stamp is the time of the last change in nanoseconds."""

    root: Path

    def place(self, name: str) -> str:
        return os.path.join(self.root, name)

    @contextmanager
    def opened(self, name: str) -> Iterator[Opened]:
        # O_NONBLOCK: a pipe must not hang the run.
        descriptor = os.open(self.place(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is no file (a pipe, a device or a folder)")
            yield Opened(
                read_at=partial(os.pread, descriptor),
                size=status.st_size,
                stamp=status.st_mtime_ns,
                source=self.place(name),
            )
        finally:
            os.close(descriptor)

    def state(self, name: str) -> tuple[int, int]:
        status = os.stat(self.place(name))
        return status.st_size, status.st_mtime_ns


def scan_files(
    files: Files,
    names: Iterable[str],
    known: Mapping[str, State],
    scan_one: Callable[[int, str, Scan], tuple[int, int]],
    beside: Iterable[tuple[str, int]] = (),
) -> Scan:
    """Scan files by `scan_one`, which returns size and stamp, except those that have the size and stamp `known`.

    `beside` counts, by reason, what stands beside them and is not read.
    """
    scan = Scan(containers=list(names), refused=Counter(dict(beside)))
    for number, name in enumerate(scan.containers):
        state = known.get(name)
        if state is not None and _state(files, name) == (state.bytes, state.stamp):
            scan.unchanged.add(name)
            scan.refused.update(state.refused)
            scan.unlabelled.update(state.unlabelled)
        else:
            refused, unlabelled = scan.refused.copy(), scan.unlabelled.copy()
            size, stamp = scan_one(number, name, scan)
            state = State(size, stamp, dict(scan.refused - refused), dict(scan.unlabelled - unlabelled))
        scan.states.append(state)
    return scan


def _state(files: Files, name: str) -> tuple[int, int] | None:
    """Return a file's size and stamp; None where that fails, so that opening the file says why."""
    try:
        return files.state(name)
    except OSError:
        return None


def other_kind(files: Files, name: str) -> file_kinds.Kind | None:
    """Return what a file is that is no Parquet file by its first bytes; None where they do not tell, or it is one."""
    try:
        with files.opened(name) as file:
            kind = file_kinds.kind_of(file.read_at(file_kinds.HEAD, 0))
    except OSError:
        return None
    return None if kind is file_kinds.PARQUET else kind
