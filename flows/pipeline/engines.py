"""Run tasks inline, or through another engine. All of them call the same function, so the bytes are the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from flows.pipeline.retry import retry
from flows.planning.tasks import Outcome, Task
from flows.stages.shared.execute import execute


class Engine(Protocol):
    """Run tasks that do not read each other; `here` tells whether in this process, with its model and device."""

    here: bool

    def run(self, tasks: Iterable[Task]) -> list[Outcome]: ...


class Inline:
    """Run one task after another in this process."""

    here = True

    def run(self, tasks: Iterable[Task]) -> list[Outcome]:
        return [outcome for task in tasks for outcome in attempt(task)]


class SomethingToCompute(Exception):
    """A result of the run is not stored."""


class Stored:
    """Compute nothing: raise SomethingToCompute at the first task."""

    here = True

    def run(self, tasks: Iterable[Task]) -> list[Outcome]:
        for task in tasks:
            raise SomethingToCompute(task.stage)
        return []


def attempt(task: Task) -> list[Outcome]:
    """Run one task, retrying transient failures."""
    return retry(lambda: execute(task))
