"""Open the files that hold several images each, on a disk or through `remote`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from storage.images.tar_headers import ReadAt


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open file: `stamp` changes with its content, `source` is the path or file that pyarrow opens."""

    read_at: ReadAt
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


@dataclass(frozen=True, slots=True)
class Disk:
    """Files under a folder; a stamp is the time of the last change in nanoseconds."""

    root: Path

    def place(self, name: str) -> str:
        return os.path.join(self.root, name)

    @contextmanager
    def opened(self, name: str) -> Iterator[Opened]:
        descriptor = os.open(self.place(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            stamp = os.fstat(descriptor).st_mtime_ns
            yield Opened(read_at=partial(os.pread, descriptor), stamp=stamp, source=self.place(name))
        finally:
            os.close(descriptor)
