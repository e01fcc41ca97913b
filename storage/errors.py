"""The errors of actlas, as one tree.

    ActlasError                  exit code 1
    ├── UsageError           2   the command or the configuration is wrong
    ├── NotFound             4   no such run, version, unit or image
    ├── StoreError
    │   ├── Damaged              bytes differ from the manifest
    │   ├── CannotTell           a read failed: nothing is known of the file
    │   ├── Newer                written by a later version of actlas
    │   ├── Incomplete           a stage result that is needed is missing
    │   ├── Lost                 versions that were published are not there: nothing is removed
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

import errno

from storage.masking import masked


class ActlasError(Exception):
    """An error that the user can act on; the command line prints its message and exits with `exit_code`.

    Secrets in the addresses that a message repeats are masked, wherever it is raised and shown.
    """

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(masked(arg) if isinstance(arg, str) else arg for arg in args))


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


class CannotTell(StoreError):
    """A read failed, so nothing is known of a file: neither that it is damaged, nor that it is missing."""

    def __init__(self, path: str, code: int | None, reason: str) -> None:
        super().__init__(path, code, reason)
        self.path, self.code, self.reason = path, code, reason

    def __str__(self) -> str:
        return masked(f"{self.path} cannot be read: {self.reason}; {REMEDIES.get(self.code, REMEDY)}")


REMEDY = "check the disk or the network file system, then run the same command again"
REMEDIES: dict[int | None, str] = {
    errno.EACCES: "give this user the right to read it, then run the same command again",
    errno.EPERM: "give this user the right to read it, then run the same command again",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`), then run the same command again",
    errno.ENFILE: "close other programs that hold files open, then run the same command again",
    errno.ENOMEM: "free some memory, then run the same command again",
    errno.ELOOP: "replace the symbolic link that leads to itself, then run the same command again",
}
"""The remedy for an error of the system, by its number."""


class Newer(StoreError):
    """The store, or a record in it, was written by a later version of actlas."""


class Incomplete(StoreError):
    """A stage result that is needed is missing."""


class Lost(StoreError):
    """Versions that were published are not there, so that nothing may be removed."""


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
        return masked(
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
    """The weights file is invalid or doesn't fit the model; the remedy apart, since a run has weights of its own."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = self.args

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}" if self.remedy else str(self.problem)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class where it has none."""
    try:
        text = str(error).strip()
    except Exception:  # a user's class, whose own text fails
        text = ""
    return (text or type(error).__name__).splitlines()[0]
