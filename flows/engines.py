"""How tasks are run: inline here, or by Prefect. Both run the same function on the same work, so the bytes are the same."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from flows import progress, stages
from flows.work import Outcome, Work
from storage.errors import Unreadable

ATTEMPTS = 3
PAUSE = 1.0
"""Seconds before the second attempt at what may pass; doubled for each further one."""


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
    """Run one task; try again what may pass (time-out, I/O error), never what can't."""
    for number in range(ATTEMPTS - 1):
        try:
            return stages.execute(work)
        except Unreadable as error:
            wait = PAUSE * 2**number
            progress.current().say(f"  {error}; trying again in {wait:.0f} s")
            time.sleep(wait)
    return stages.execute(work)
