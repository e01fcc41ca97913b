"""Run one task: import the module of its stage and call its `compute`."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flows import registry
from flows.model import examine
from flows.planning.tasks import Outcome, Task
from storage.store.store import Store


def execute(task: Task) -> list[Outcome]:
    """Compute the outputs of a task. Errors carry a note of the stage and its layers.

    Raises ModelError, the same in every process, where the model or other code of a user fails or leaves Python.
    """
    store = Store(Path(task.store))
    compute: Callable[[Store, Task], list[Outcome]] = importlib.import_module(registry.stage(task.stage).module).compute
    started = time.monotonic()
    try:
        outcomes = compute(store, task)
    except BaseException as error:  # a user's code may raise any
        if (of_model := examine.of_model(task.settings["config"]["model"], error)) is not None:
            raise of_model from error
        layers = ", ".join(dict.fromkeys(output.layer for output in task.outputs if output.layer))
        error.add_note(f"in stage {task.stage}" + (f" of {layers}" if layers else ""))
        raise
    # The outputs of one task are computed together: each gets an equal share of the time.
    return [replace(outcome, seconds=(time.monotonic() - started) / len(outcomes)) for outcome in outcomes]
