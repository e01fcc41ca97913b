"""What a Dask worker does: one task at a time, with one model, in the run's own environment or not at all.

A task is told names and gives back names. Before its first task of a run a worker checks that it has the run's code,
libraries and store, since its results are filed under keys that say so.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a worker comes here without passing flows/cli.py

import distributed
import torch

from flows import cores, registry
from flows.model import prepared
from flows.pipeline import engines
from flows.planning import libraries
from flows.planning.tasks import Outcome, Task
from flows.stages import reading
from storage.errors import ActlasError, BadWeights

_one_at_a_time = threading.Lock()
"""Hooks record a model's layers, so that two tasks in one process would see each other's images."""


class UnfitWorker(ActlasError):
    """A worker whose results would not be those that their keys promise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a run tells every worker.

    `beacon` is a folder in the store that is there as long as the run is, `folder` where the run was started,
    `threads` a worker's share of the cores (None: what its OMP_NUM_THREADS says).
    """

    run: str
    beacon: str
    folder: str
    threads: int | None
    environment: str


def environment() -> str:
    """Name the code and the libraries whose versions are part of keys, as JSON."""
    versions = {name: importlib.metadata.version(name) for name in libraries.in_keys()}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return json.dumps({"python": python, **versions, "stages": registry.codes()}, sort_keys=True)


def perform(task: Task, told: RunFacts) -> list[Outcome]:
    """Make what a task names."""
    with _one_at_a_time:
        introduce(told, distributed.get_worker())
        try:
            return engines.attempt(task)
        except BadWeights as error:
            raise UnfitWorker(f"the worker {distributed.get_worker().address}: {error}") from None


def introduce(told: RunFacts, dask_worker: distributed.Worker) -> None:
    """Make this process a worker of the run; raises Unfit, naming the worker, if it can't be one."""
    _settle(told, f"the worker {dask_worker.address}", dask_worker.state.nthreads)


@functools.lru_cache(maxsize=1)
def _settle(told: RunFacts, name: str, slots: int) -> None:
    if slots != 1:
        raise UnfitWorker(
            f"{name} takes {slots} tasks at once, but has one model: start it with --nthreads 1, and with more --nworkers "
            "or OMP_NUM_THREADS instead"
        )
    if wrong := misfit(told):
        raise UnfitWorker(f"{name} {wrong}")
    prepared.forget()
    reading.forget()
    cores.share(told.threads or int(os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0]))
    torch.set_num_threads(cores.cores())
    if told.folder not in sys.path:  # a factory may stand there
        sys.path.append(told.folder)


def misfit(told: RunFacts) -> str:
    """Say what keeps this process from computing what the run's keys promise; nothing if nothing does."""
    ours, theirs = json.loads(environment()), json.loads(told.environment)
    differing = [
        f"{name} {ours.get(name)} where the run has {has}" for name, has in theirs.items() if ours.get(name) != has
    ]
    if differing:
        return f"has {', '.join(differing)}: give all machines the same environment"
    if not Path(told.beacon).is_dir():
        store = Path(told.beacon).parents[1]
        return f"does not see the run's store at {store}: mount it there, or name a shared folder with --store"
    return ""
