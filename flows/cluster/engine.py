"""Run tasks on a Dask cluster: worker processes on this machine, or the workers of a scheduler at an address.

A future is one task: it carries names of results, never data, and the worker writes results to the store, where a
repeated task finds or replaces the same bytes. So a killed worker costs at most one shard. Only the flow's process talks
to Prefect; a worker never imports it.
"""

from __future__ import annotations

import logging
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
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker
from distributed.utils import silence_logging_cmgr

from flows import progress, registry
from flows.cluster import local_workers
from flows.cluster import worker as cluster_worker
from flows.cluster.worker import RunFacts
from flows.config import RunConfig
from flows.model import prepared
from flows.planning.tasks import Outcome, Task
from storage import addresses
from storage.errors import ActlasError, UsageError, first_line
from storage.images.samples import SAMPLE_PHOTOS
from storage.store.drafts import scratch
from storage.store.store import Store

LOCAL = re.compile(r"local:([1-9]\d*)")
ADDRESS = re.compile(r"(tcp|tls)://[^/\s]+:\d+")

REPEATS = 3
"""How often to resubmit a task that Dask has given up on, after `allowed-failures` (3) more workers died with it."""

PATIENCE = 30.0
"""Seconds to wait for a scheduler to answer and for a first worker."""

STARTING = 600.0
"""Seconds to wait for the first of our own workers; on a busy machine a start takes a minute."""


class ClusterLost(ActlasError):
    """The cluster cannot run the tasks."""


def processes_of(spec: str) -> int | None:
    """Return the number of local worker processes in `--dask`, None if it names a scheduler. Raises UsageError."""
    addresses.check("--dask", spec)
    local = LOCAL.fullmatch(spec)
    if not local and not ADDRESS.fullmatch(spec):
        raise UsageError(f"--dask is {spec!r}; write local:N for N processes here, or tcp://HOST:PORT of a scheduler")
    return int(local[1]) if local else None


def check_device(spec: str, config: RunConfig) -> None:
    """Raise UsageError if workers here would lack the run's device, or if workers elsewhere are told which GPU to take."""
    if processes_of(spec):
        prepared.check_device(config)
    elif ":" in config.device:
        raise UsageError(
            f"--device {config.device}: the workers at {spec} choose their GPU by CUDA_VISIBLE_DEVICES; use --device cuda"
        )


@contextmanager
def on(spec: str, store: str) -> Iterator[OnDask]:
    """Open the cluster of `--dask` for the length of the block; a local one starts with its first task."""
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
        self._facts: RunFacts | None = None
        self._gpus: tuple[str, ...] = ()
        self.counts_gpus = False
        """Whether workers declared GPUs when the run started, so that Dask gives each of them one task at a time."""

    def resolve_device(self, config: RunConfig) -> RunConfig:
        """Return the configuration with the workers' device: CUDA if it is `auto` and workers declare GPUs.

        It holds for the whole run: while no worker with a GPU is there, tasks wait for one. Raises UsageError as
        `check_device` does.
        """
        check_device(self._spec, config)
        self._gpus = visible_gpus(prepared.device_of(config)) if self._processes else ()
        self.counts_gpus = self._has_gpus()
        return config.model_copy(update={"device": "cuda"}) if config.device == "auto" and self.counts_gpus else config

    def run(self, tasks: Iterable[Task], advance: Callable[[int, int], None] | None = None) -> list[Outcome]:
        """Run tasks that do not read each other; call `advance` with the number done and the total."""
        tasks = list(tasks)
        if not tasks:
            return []
        client = self.connect()
        self._check_workers(client)
        pending = [portable(task) for task in tasks]
        total, unit = sum(map(_size, pending)), "images" if pending[-1].stage == "collect" else "tasks"
        outcomes: list[Outcome] = []
        done = 0
        with progress.current().bar(pending[-1].stage, total, unit) as bar:
            for number, (task, results) in enumerate(self._as_completed(client, pending), 1):
                outcomes += results
                done += _size(task)
                bar(done)
                if advance is not None:
                    advance(number, len(pending))
        return outcomes

    def connect(self) -> distributed.Client:
        """Return the cluster's client; the first call starts the cluster or connects to the scheduler."""
        if self._client is None:
            cluster: Any = self._spec
            if self._processes:
                progress.current().say(f"starting {self._processes} Dask workers")
                cluster = self._stack.enter_context(
                    local_workers.cluster(self._processes, self._share or 1, self._gpus)
                )
            self._client = self._stack.enter_context(_client(cluster, self._spec))
        return self._client

    @property
    def _share(self) -> int | None:
        """The cores of each local worker; None for workers elsewhere."""
        return max(1, torch.get_num_threads() // self._processes) if self._processes else None

    def _check_workers(self, client: distributed.Client) -> None:
        """Check all workers before the first task; those that join later check themselves."""
        if self._facts is not None:
            return
        store = Path(self._store).absolute()
        self._facts = RunFacts(
            run=uuid.uuid4().hex,
            beacon=str(self._stack.enter_context(scratch(Store(store).places, "dask"))),
            folder=os.getcwd(),
            threads=self._share,
            environment=cluster_worker.environment(),
        )
        answers = client.run(cluster_worker.join_run, self._facts, on_error="return")
        for worker, answer in answers.items():
            if isinstance(answer, Exception) and not isinstance(
                answer, OSError
            ):  # an OSError: it died, and another replaces it
                raise _worker_error(answer, worker)

    def _as_completed(self, client: distributed.Client, tasks: list[Task]) -> Iterator[tuple[Task, list[Outcome]]]:
        """Yield tasks as they complete, with their outcomes; resubmit those whose workers died."""
        pending = {self._submit(client, task): (task, 0) for task in tasks}
        completed = distributed.as_completed(list(pending))
        client.subscribe_topic("all", _report_lost_worker)
        try:
            for future in completed:
                task, repeats = pending.pop(future)
                outcomes = self._result(future, task, last=repeats == REPEATS)
                if outcomes is not None:
                    yield task, outcomes
                    continue
                resubmitted = self._submit(client, task)
                pending[resubmitted] = (task, repeats + 1)
                completed.add(resubmitted)
        finally:
            with suppress(Exception):  # the scheduler is gone, and the error being raised matters more
                client.unsubscribe_topic("all")
                client.cancel(list(pending))

    def _result(self, future: Any, task: Task, *, last: bool) -> list[Outcome] | None:
        """Return the outcomes of a completed task; None if Dask gave up on it. Raises ClusterLost at the last attempt."""
        try:
            outcomes: list[Outcome] = future.result()
            return outcomes
        except KilledWorker as killed:
            if not last:
                return None
            raise ClusterLost(
                f"{task.outputs[0].title}: given up after workers died {(REPEATS + 1) * (killed.allowed_failures + 1)} times "
                "while running it; it most likely needs more memory than they have: start fewer workers"
            ) from None
        except FutureCancelledError:
            raise ClusterLost(
                f"the Dask scheduler at {self._spec} was lost; the same command resumes the run"
            ) from None

    def _submit(self, client: distributed.Client, task: Task) -> Any:
        on_gpu = registry.stage(task.stage).gpu and task.settings["config"]["device"] == "cuda" and self.counts_gpus
        return client.submit(
            cluster_worker.perform,
            task,
            self._facts,
            key=f"{task.stage}-{uuid.uuid4().hex}",
            resources={"GPU": 1} if on_gpu else None,
            pure=False,
        )

    def _has_gpus(self) -> bool:
        """Tell whether any worker declares a GPU."""
        workers = self._client.scheduler_info()["workers"].values() if self._client else ()
        return any(worker["resources"].get("GPU") for worker in workers)


def visible_gpus(device: torch.device) -> tuple[str, ...]:
    """Return the GPUs of local workers, in turn, by their names in CUDA_VISIBLE_DEVICES; none for the CPU."""
    if device.type != "cuda":
        return ()
    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    names = (named or [str(number) for number in range(count)])[:count]
    return tuple(names) if device.index is None else (names[device.index],)


def portable(task: Task) -> Task:
    """Return the task for another machine: with absolute paths, and the device that its keys were made for."""
    config = RunConfig(**task.settings["config"])
    changes: dict[str, Any] = {"device": prepared.device_of(config).type, "store": str(Path(task.store).absolute())}
    if config.images != SAMPLE_PHOTOS and "://" not in config.images:
        changes["images"] = str(Path(config.images).absolute())
    for name in ("weights", "classes"):
        if (file := getattr(config, name)) and Path(file).is_file():
            changes[name] = str(Path(file).absolute())
    return replace(
        task, store=changes["store"], settings={**task.settings, "config": {**task.settings["config"], **changes}}
    )


@contextmanager
def _client(cluster: Any, spec: str) -> Iterator[distributed.Client]:
    for place in (logging.getLogger("asyncio"), *logging.getLogger("distributed").handlers):
        place.addFilter(_is_news)
    with silence_logging_cmgr(logging.CRITICAL):  # what is lost is said in a line, and not by Dask's traceback as well
        try:
            client = distributed.Client(cluster, timeout=PATIENCE)
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterLost(
                f"no Dask scheduler answers at {spec} ({first_line(error)}); start one by `dask scheduler`"
            ) from None
        with client:
            try:
                client.wait_for_workers(1, timeout=STARTING if LOCAL.fullmatch(spec) else PATIENCE)
            except TimeoutError:
                raise ClusterLost(_no_workers(spec)) from None
            yield client


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether a record of a log is about more than a connection that a death has closed, which may come late."""
    return not (record.exc_info and isinstance(record.exc_info[1], CommClosedError))


def _no_workers(spec: str) -> str:
    if LOCAL.fullmatch(spec):
        return (
            f"--dask {spec}: no worker has started within {STARTING:.0f} s; is the machine too busy, or out of memory?"
        )
    return f"the Dask scheduler at {spec} has no workers; start some by `dask worker {spec} --nthreads 1`"


def _size(task: Task) -> int:
    """Return the size of a task on the bar: the images of a shard, none for the model's record, else one."""
    if task.stage == "collect":
        return int(task.settings["stop"]) - int(task.settings["first"])
    return 0 if task.stage == "model" else 1


def _worker_error(error: Exception, worker: str) -> ActlasError:
    if isinstance(error, ActlasError):
        return error
    return ClusterLost(
        f"the worker {worker} can't run actlas's tasks ({first_line(error)}): give all machines the same environment"
    )


def _report_lost_worker(event: tuple[float, Any]) -> None:
    message = event[1]
    if isinstance(message, dict) and message.get("action") == "remove-worker" and not message.get("expected"):
        progress.current().say(f"  the worker {message['worker']} was lost; its task is resubmitted")
