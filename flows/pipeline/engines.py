"""How tasks are run: inline here, or by Prefect. Both run the same function on the same work, so the bytes are the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from flows.pipeline.retry import retry
from flows.planning.tasks import Outcome, Task
from flows.stages.execute import execute


class Engine(Protocol):
    """Run tasks that do not read each other; `here` says whether in this process, with its model and its device."""

    here: bool

    def run(self, tasks: Iterable[Task]) -> list[Outcome]: ...


class Inline:
    """Run task after task in this process."""

    here = True

    def run(self, tasks: Iterable[Task]) -> list[Outcome]:
        return [made for task in tasks for made in attempt(task)]


def attempt(task: Task) -> list[Outcome]:
    """Run one task; try again what may pass."""
    return retry(lambda: execute(task))
