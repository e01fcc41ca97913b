"""Run tasks on a Dask cluster: as many processes of this machine as asked for, or workers that wait at an address.

A future is one task, as plain as inline: names go out and names come back, and results are written to the store, where
a repeated task finds or replaces the same bytes. So a worker that is killed costs at most the shard it was at. Prefect
is spoken to by the flow's process only; a worker never imports it.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
import torch
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from flows import progress, registry
from flows.cluster import local_workers
from flows.cluster import worker as cluster_worker
from flows.cluster.worker import RunFacts
from flows.config import RunConfig
from flows.model import prepared
from flows.planning.tasks import Outcome, Task
from storage.errors import ActlasError, UsageError
from storage.images.samples import SAMPLE_PHOTOS
from storage.store.drafts import scratch
from storage.store.store import Store

LOCAL = re.compile(r"local:([1-9]\d*)")
ADDRESS = re.compile(r"(tcp|tls)://[^/\s]+:\d+")

REPEATS = 3
"""How often a task is handed in anew that Dask gave up. Dask gives up when `allowed-failures` (3) more workers died with it."""

PATIENCE = 30.0
"""Seconds to wait for a scheduler to answer and for a first worker."""

STARTING = 600.0
"""Seconds to wait for the first of our own workers, which are on their way; on a busy machine a start takes a minute."""


class ClusterLost(ActlasError):
    """The cluster can't do the work."""


def processes_of(spec: str) -> int | None:
    """Return how many processes of our own `--dask` asks for; None if it names a scheduler. Raises UsageError."""
    local = LOCAL.fullmatch(spec)
    if not local and not ADDRESS.fullmatch(spec):
        raise UsageError(f"--dask is {spec!r}; write local:N for N processes here, or tcp://HOST:PORT of a scheduler")
    return int(local[1]) if local else None


@contextmanager
def on(spec: str, store: str) -> Iterator[OnDask]:
    """Open the cluster that `--dask` names for the length of the block; one of our own starts with its first task."""
    processes = processes_of(spec)
    with ExitStack() as stack:
        engine = OnDask(stack, store, spec, processes)
        if processes is None:
            engine.connect()
        yield engine


class OnDask:
    """An engine whose tasks are Dask futures."""

    here = False

    def __init__(self, stack: ExitStack, store: str, spec: str, processes: int | None) -> None:
        self._stack, self._store, self._spec, self._processes = stack, store, spec, processes
        self._client: distributed.Client | None = None
        self._told: RunFacts | None = None
        self.counts_gpus = False
        """Whether workers declared GPUs when the run was settled, so that Dask gives each of them one task at a time."""

    def settled(self, config: RunConfig) -> RunConfig:
        """Return the configuration with the workers' device: CUDA if it is left open and workers declare GPUs.

        That holds for the whole run. A worker that is gone for a moment leaves its tasks to wait for one with a GPU.
        """
        self.counts_gpus = self._declared()
        return config.model_copy(update={"device": "cuda"}) if config.device == "auto" and self.counts_gpus else config

    def run(self, tasks: Iterable[Task], advance: Callable[[int, int], None] | None = None) -> list[Outcome]:
        """Run tasks that do not read each other; `advance` is told how many of them are done."""
        tasks = list(tasks)
        if not tasks:
            return []
        client = self.connect()
        self._tell(client)
        left = [portable(task) for task in tasks]
        total, unit = sum(map(_size, left)), "images" if left[-1].stage == "collect" else "tasks"
        outcomes: list[Outcome] = []
        done = 0
        with progress.current().bar(left[-1].stage, total, unit) as bar:
            for number, (task, made) in enumerate(self._each(client, left), 1):
                outcomes += made
                done += _size(task)
                bar(done)
                if advance is not None:
                    advance(number, len(left))
        return outcomes

    def connect(self) -> distributed.Client:
        """Return the cluster's client; start the cluster or find the scheduler at the first call."""
        if self._client is None:
            cluster: Any = self._spec
            if self._processes:
                progress.current().say(f"starting {self._processes} Dask workers")
                cluster = self._stack.enter_context(local_workers.cluster(self._processes, self._share or 1))
            self._client = self._stack.enter_context(_client(cluster, self._spec))
        return self._client

    @property
    def _share(self) -> int | None:
        """The cores of each process of our own."""
        return max(1, torch.get_num_threads() // self._processes) if self._processes else None

    def _tell(self, client: distributed.Client) -> None:
        """Ask all workers whether they fit before the first task; those that come later ask themselves."""
        if self._told is not None:
            return
        store = Path(self._store).absolute()
        self._told = RunFacts(
            run=uuid.uuid4().hex,
            beacon=str(self._stack.enter_context(scratch(Store(store).places, "dask"))),
            folder=os.getcwd(),
            threads=self._share,
            environment=cluster_worker.environment(),
        )
        answers = client.run(cluster_worker.introduce, self._told, on_error="return")
        for worker, answer in answers.items():
            if isinstance(answer, Exception) and not isinstance(answer, OSError):  # it died: another takes its place
                raise _said(answer, worker)

    def _each(self, client: distributed.Client, tasks: list[Task]) -> Iterator[tuple[Task, list[Outcome]]]:
        """Yield tasks as they get done, with their outcomes; hand in again what died with its worker."""
        waiting = {self._submit(client, task): (task, 0) for task in tasks}
        arriving = distributed.as_completed(list(waiting))
        client.subscribe_topic("all", _say_who_died)
        try:
            for future in arriving:
                task, repeats = waiting.pop(future)
                made = self._result(future, task, last=repeats == REPEATS)
                if made is not None:
                    yield task, made
                    continue
                again = self._submit(client, task)
                waiting[again] = (task, repeats + 1)
                arriving.add(again)
        finally:
            with suppress(Exception):  # of a scheduler that is gone; the error on its way out matters more
                client.unsubscribe_topic("all")
                client.cancel(list(waiting))

    def _result(self, future: Any, task: Task, *, last: bool) -> list[Outcome] | None:
        """Return what a finished task made; None if Dask gave it up, unless that was its last time."""
        try:
            made: list[Outcome] = future.result()
            return made
        except KilledWorker as killed:
            if not last:
                return None
            raise ClusterLost(
                f"{task.outputs[0].title}: given up, workers died {(REPEATS + 1) * (killed.allowed_failures + 1)} times while "
                "they did it; most likely it needs more memory than they have: start fewer workers"
            ) from None
        except FutureCancelledError:
            raise ClusterLost(
                f"the Dask scheduler at {self._spec} was lost; the same command goes on where it stopped"
            ) from None

    def _submit(self, client: distributed.Client, task: Task) -> Any:
        on_gpu = registry.stage(task.stage).gpu and task.settings["config"]["device"] == "cuda" and self.counts_gpus
        return client.submit(
            cluster_worker.perform,
            task,
            self._told,
            key=f"{task.stage}-{uuid.uuid4().hex}",
            resources={"GPU": 1} if on_gpu else None,
            pure=False,
        )

    def _declared(self) -> bool:
        workers = self._client.scheduler_info()["workers"].values() if self._client else ()
        return any(worker["resources"].get("GPU") for worker in workers)


def portable(task: Task) -> Task:
    """Return the task as another machine can do it: whole paths, and the device its keys speak of."""
    config = RunConfig(**task.settings["config"])
    settled: dict[str, Any] = {"device": prepared.device_of(config).type, "store": str(Path(task.store).absolute())}
    if config.images != SAMPLE_PHOTOS and "://" not in config.images:
        settled["images"] = str(Path(config.images).absolute())
    for name in ("weights", "classes"):
        if (file := getattr(config, name)) and Path(file).is_file():
            settled[name] = str(Path(file).absolute())
    return replace(
        task, store=settled["store"], settings={**task.settings, "config": {**task.settings["config"], **settled}}
    )


@contextmanager
def _client(cluster: Any, spec: str) -> Iterator[distributed.Client]:
    try:
        client = distributed.Client(cluster, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterLost(
            f"no Dask scheduler answers at {spec} ({_first_line(error)}); start one by `dask scheduler`"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=STARTING if LOCAL.fullmatch(spec) else PATIENCE)
        except TimeoutError:
            raise ClusterLost(_nobody(spec)) from None
        yield client


def _nobody(spec: str) -> str:
    if LOCAL.fullmatch(spec):
        return (
            f"--dask {spec}: no worker has started within {STARTING:.0f} s; is the machine too busy, or out of memory?"
        )
    return f"the Dask scheduler at {spec} has no workers; start some by `dask worker {spec} --nthreads 1`"


def _size(task: Task) -> int:
    """Count a task as its images where it reads a shard's, else as one; the model's own record is not counted."""
    if task.stage == "collect":
        return int(task.settings["stop"]) - int(task.settings["first"])
    return 0 if task.stage == "model" else 1


def _said(answer: Exception, worker: str) -> ActlasError:
    if isinstance(answer, ActlasError):
        return answer
    return ClusterLost(
        f"the worker {worker} can't do actlas's tasks ({_first_line(answer)}): give all machines the same environment"
    )


def _say_who_died(event: tuple[float, Any]) -> None:
    told = event[1]
    if isinstance(told, dict) and told.get("action") == "remove-worker" and not told.get("expected"):
        progress.current().say(f"  the worker {told['worker']} was lost; its task is done again")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
