"""Everything that can go wrong, as one tree.

    ActlasError                  exit code 1
    ├── UsageError           2   the command or the configuration is wrong
    ├── NotFound             4   no such run, version, unit or image
    ├── StoreError
    │   ├── Damaged              bytes are not what the manifest says
    │   ├── Incomplete           a stage that is needed isn't there
    │   ├── Locked               somebody else is writing
    │   └── NoSpace              the disk is full
    ├── ImageError
    │   ├── Rejected             what the image *is*: recorded once, never tried again
    │   └── Unreadable           what may pass (time-out, I/O error): tried again
    │       └── Changed          the file is not the one that was listed: only another run helps
    └── ModelError
        ├── UnknownLayer     4
        ├── AmbiguousAxes    2   needs --axes
        └── BadWeights

Every message is one line that names the thing, the value and what would do. All of them survive pickling, since tasks
raise them in other processes.
"""

from __future__ import annotations


class ActlasError(Exception):
    """Something a person can act on; the command line prints the message and leaves with `exit_code`."""

    exit_code = 1


class UsageError(ActlasError):
    """The command or the configuration is wrong."""

    exit_code = 2


class NotFound(ActlasError):
    """What was asked for does not exist."""

    exit_code = 4


class StoreError(ActlasError):
    """The store can't do what was asked."""


class Damaged(StoreError):
    """Bytes on the disk are not those that were committed."""


class Incomplete(StoreError):
    """A stage result that is needed isn't there."""


class Locked(StoreError):
    """Another process holds the lock."""


class NoSpace(StoreError):
    """The disk is full: `needed` bytes at least, `free` bytes left."""

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
    """The image itself is unusable: `reason` from a fixed list, `detail` for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class Unreadable(ImageError):
    """Reading failed in a way that may pass; the attempt fails and is tried again."""


class Changed(Unreadable):
    """The file is not the one that was listed: no further attempt of this run can read it."""


class ModelError(ActlasError):
    """A model can't be loaded or read as asked."""


class UnknownLayer(ModelError):
    """The model has no such layer."""

    exit_code = 4


class AmbiguousAxes(ModelError):
    """The probe can't tell which axis is which; `--axes` says it."""

    exit_code = 2


class BadWeights(ModelError):
    """The weights file isn't what it should be, or doesn't fit the model."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
