"""The stages: each reads, computes (in atlas) and writes; each is told names and returns names."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flows.stages.tasks import Outcome, Task
from storage.store.store import Store

CODE = {
    "listing": 2,
    "labels": 1,
    "images": 1,
    "model": 1,
    "collect": 1,
    "field": 1,
    "moment": 2,
    "patches": 1,
    "layout": 1,
    "cells": 2,
    "members": 1,
    "icons": 1,
    "tiles": 1,
    "attribution": 1,
    "influence": 1,
    "gradients": 2,
    "gallery": 1,
    "noise": 2,
}
"""Code versions, raised by hand when a stage's bytes change for the same inputs; a golden test guards them."""

MODULES = {"images": "collect", "moment": "layout"}
"""Stages whose function stands in another stage's module, because one task makes both."""

GPU_STAGES = frozenset({"collect", "field", "icons", "attribution", "influence", "gradients", "gallery"})
"""Stages that run the model, on a GPU where there is one."""


def execute(task: Task) -> list[Outcome]:
    """Do one task: make what it names and is not there yet."""
    store = Store(Path(task.store))
    function: Callable[[Store, Task], list[Outcome]] = importlib.import_module(
        f"flows.stages.{MODULES.get(task.stage, task.stage)}"
    ).compute
    started = time.monotonic()
    try:
        made = function(store, task)
    except Exception as error:
        layers = ", ".join(dict.fromkeys(output.layer for output in task.outputs if output.layer))
        error.add_note(f"in stage {task.stage}" + (f" of {layers}" if layers else ""))
        raise
    # The results of one task are made together: each is given its share of the time.
    return [replace(outcome, seconds=(time.monotonic() - started) / len(made)) for outcome in made]
