"""The errors of actlas, as one tree.

    ActlasError                  exit code 1
    ├── UsageError           2   the command or the configuration is wrong
    ├── NotFound             4   no such run, version, unit or image
    ├── StoreError
    │   ├── Damaged              bytes differ from the manifest
    │   ├── Incomplete           a stage result that is needed is missing
    │   ├── Locked               another process holds the lock
    │   ├── Unsupported          the system or file system lacks flock or hard links
    │   └── NoSpace              the disk is full
    ├── ImageError
    │   ├── Rejected             the image itself is unusable: recorded once, never retried
    │   └── Unreadable           a transient failure (time-out, I/O error): retried
    │       └── Changed          the file has changed since it was listed: only another run helps
    └── ModelError
        ├── UnknownLayer     4
        ├── AmbiguousAxes    2   needs --axes
        └── BadWeights

Every message is one line that names the thing, the value and the remedy. All errors survive pickling, since tasks raise
them in other processes.
"""

from __future__ import annotations


class ActlasError(Exception):
    """An error that the user can act on; the command line prints its message and exits with `exit_code`."""

    exit_code = 1


class UsageError(ActlasError):
    """The command or the configuration is wrong."""

    exit_code = 2


class NotFound(ActlasError):
    """The requested object does not exist."""

    exit_code = 4


class StoreError(ActlasError):
    """The store can't carry out a request."""


class Damaged(StoreError):
    """Bytes on disk differ from those that were committed."""


class Incomplete(StoreError):
    """A stage result that is needed is missing."""


class Locked(StoreError):
    """Another process holds the lock."""


class Unsupported(StoreError):
    """The operating system or the file system lacks `flock` or hard links, which the store needs."""


class NoSpace(StoreError):
    """The disk is full: at least `needed` bytes are needed, `free` are left."""

    def __init__(self, path: str, needed: int, free: int) -> None:
        super().__init__(path, needed, free)
        self.path, self.needed, self.free = path, needed, free

    def __str__(self) -> str:
        return (
            f"no space left under {self.path}: this result needs at least {self.needed:,} bytes and {self.free:,} are "
            "free; make room and run the same command again, finished work is kept"
        )


class ImageError(ActlasError):
    """An image can't be used."""


class Rejected(ImageError):
    """The image itself is unusable: `reason` from a fixed list, `detail` in words."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class Unreadable(ImageError):
    """Reading failed, perhaps transiently; the attempt fails and is retried."""


class Changed(Unreadable):
    """The file has changed since it was listed; no retry in this run can read it."""


class ModelError(ActlasError):
    """A model can't be loaded or used as requested."""


class UnknownLayer(ModelError):
    """The model has no such layer."""

    exit_code = 4


class AmbiguousAxes(ModelError):
    """The probe can't tell which axis is which; `--axes` specifies it."""

    exit_code = 2


class BadWeights(ModelError):
    """The weights file is invalid or doesn't fit the model."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
