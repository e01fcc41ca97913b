"""Run tasks in a Dask worker: one at a time, with one model.

Before its first task of a run a worker checks that it has the run's code, libraries and store, since its results are
stored under keys that promise them.
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
from flows.stages.shared import reading
from storage.errors import ActlasError, BadWeights
from storage.images.formats import HEIF_DECODER, heif_version

_one_at_a_time = threading.Lock()
"""Hooks record a model's layers, so two tasks in one process would mix their images."""


class UnfitWorker(ActlasError):
    """A worker whose results would not be what their keys promise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """The facts of a run that every worker needs.

    `beacon` is a folder in the store that exists as long as the run does, `folder` the one the run was started in,
    `threads` a worker's share of the cores (None: its OMP_NUM_THREADS).
    """

    run: str
    beacon: str
    folder: str
    threads: int | None
    environment: str


def environment() -> str:
    """Return the versions of the code and of the libraries that enter keys, as JSON."""
    versions = {name: importlib.metadata.version(name) for name in libraries.in_keys()}
    versions |= {HEIF_DECODER: heif_version() or "not installed"}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return json.dumps({"python": python, **versions, "stages": registry.codes()}, sort_keys=True)


def perform(task: Task, facts: RunFacts) -> list[Outcome]:
    """Run a task, after joining its run."""
    with _one_at_a_time:
        join_run(facts, distributed.get_worker())
        try:
            return engines.attempt(task)
        except BadWeights as error:
            raise UnfitWorker(f"the worker {distributed.get_worker().address}: {error}") from None


def join_run(facts: RunFacts, dask_worker: distributed.Worker) -> None:
    """Prepare this process for the run, once. Raises UnfitWorker, naming the worker, if it cannot take part."""
    _prepare(facts, f"the worker {dask_worker.address}", dask_worker.state.nthreads)


@functools.lru_cache(maxsize=1)
def _prepare(facts: RunFacts, name: str, slots: int) -> None:
    if slots != 1:
        raise UnfitWorker(
            f"{name} takes {slots} tasks at once, but has one model: start it with --nthreads 1, and with more --nworkers "
            "or OMP_NUM_THREADS instead"
        )
    if problem := mismatch(facts):
        raise UnfitWorker(f"{name} {problem}")
    prepared.forget()
    reading.forget()
    cores.share(facts.threads or int(os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0]))
    torch.set_num_threads(cores.cores())
    if facts.folder not in sys.path:  # a model factory may be there
        sys.path.append(facts.folder)


def mismatch(facts: RunFacts) -> str:
    """Explain why this process cannot compute what the run's keys promise; return an empty text if it can."""
    ours, theirs = json.loads(environment()), json.loads(facts.environment)
    differing = [
        f"{name} {ours.get(name)} where the run has {has}" for name, has in theirs.items() if ours.get(name) != has
    ]
    if differing:
        return f"has {', '.join(differing)}: give all machines the same environment"
    if not Path(facts.beacon).is_dir():
        store = Path(facts.beacon).parents[1]
        return f"does not see the run's store at {store}: mount it there, or name a shared folder with --store"
    return ""
