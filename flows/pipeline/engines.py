"""How tasks are run: inline here, or by Prefect. Both run the same function on the same work, so the bytes are the same."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from flows import progress, stages
from flows.stages.tasks import Outcome, Work
from storage.errors import Changed, Unreadable

ATTEMPTS = 3
PAUSE = 1.0
"""Seconds before the second attempt at what may pass; doubled for each further one."""


PASSING = {errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.ENETUNREACH, errno.EHOSTUNREACH}
"""What a file system answers that is not itself just now, beside time-outs and lost connections."""

Made = TypeVar("Made")


class Engine(Protocol):
    """Run tasks that do not read each other; `here` says whether in this process, with its model and its device."""

    here: bool

    def run(self, works: Iterable[Work]) -> list[Outcome]: ...


class Inline:
    """Run task after task in this process."""

    here = True

    def run(self, works: Iterable[Work]) -> list[Outcome]:
        return [made for work in works for made in attempt(work)]


def attempt(work: Work) -> list[Outcome]:
    """Run one task; try again what may pass."""
    return insist(lambda: stages.execute(work))


def insist(do: Callable[[], Made]) -> Made:
    """Return what a function makes; try again what may pass (time-out, I/O error), never what can't."""
    for number in range(ATTEMPTS - 1):
        try:
            return do()
        except Exception as error:
            if not may_pass(error):
                raise
            wait = PAUSE * 2**number
            progress.current().say(f"  {error}; trying again in {wait:.0f} s")
            time.sleep(wait)
    return do()


def may_pass(error: object) -> bool:
    """Say whether another attempt could go better."""
    if isinstance(error, Unreadable):
        return not isinstance(error, Changed)
    return isinstance(error, TimeoutError | ConnectionError) or (isinstance(error, OSError) and error.errno in PASSING)
