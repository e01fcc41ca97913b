"""Keep worker processes running on this machine: restart each one that dies, whenever that is.

Dask's own nanny gives up on a worker that dies while it starts, and its local cluster on one that is gone for 15 s: a run
on a busy machine could lose all of them. This module imports no torch, so that a worker starts in a second.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import dask
import distributed

from storage import processes

SETTINGS: dict[str, Any] = {
    "distributed.scheduler.worker-ttl": None,  # a dead worker is noticed at once; a silent one is computing
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}

INTERVAL = 0.5
"""Seconds between two checks for dead workers; also the least time between two starts."""

_spawn = multiprocessing.get_context("spawn")


@contextmanager
def cluster(processes: int, threads: int, gpus: Sequence[str] = ()) -> Iterator[distributed.LocalCluster]:
    """Run `processes` workers of `threads` threads for the length of the block: on loopback, with temporary TLS keys.

    Each sees one of the `gpus`, in turn.
    """
    security = distributed.Security.temporary()
    with (
        dask.config.set(SETTINGS),
        distributed.LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},  # the address is of its server all the same, by default at port 8787
            security=security,
            silence_logs=logging.CRITICAL,
        ) as local,
        _keep_running(environments(processes, threads, gpus), (local.scheduler_address, security)),
    ):
        yield local


def environments(processes: int, threads: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """Return what each worker finds in its environment. Libraries read it when they are loaded, so it is there before."""
    variables_of = [{"OMP_NUM_THREADS": str(threads)} for _ in range(processes)]
    for number, variables in enumerate(variables_of if gpus else []):
        variables["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    return variables_of


@contextmanager
def _keep_running(of_workers: Sequence[dict[str, str]], address: tuple[str, distributed.Security]) -> Iterator[None]:
    """Start the workers and restart those that die; kill them at the end of the block."""
    workers = [_start(variables, address) for variables in of_workers]
    stopped = threading.Event()

    def restart_dead() -> None:
        while not stopped.wait(INTERVAL):
            wait([process.sentinel for process in workers], INTERVAL)
            for number, process in enumerate(workers):
                if not process.is_alive() and not stopped.is_set():
                    workers[number] = _start(of_workers[number], address)

    watcher = threading.Thread(target=restart_dead, daemon=True, name="dask-workers")
    watcher.start()
    try:
        yield
    finally:
        stopped.set()
        watcher.join()
        for process in workers:
            process.kill()  # results are committed as a whole or not at all
        for process in workers:
            process.join()


def _start(variables: dict[str, str], address: tuple[str, distributed.Security]) -> BaseProcess:
    """Start a worker with these environment variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        process = _spawn.Process(target=serve, args=address, daemon=True)
        processes.start_apart(process)  # Ctrl-C is for the run, which ends its workers
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return process


def serve(address: str, security: distributed.Security) -> None:
    """Run a worker in this process until the scheduler is gone."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(SETTINGS):
        asyncio.run(_serve(address, security))


async def _serve(address: str, security: distributed.Security) -> None:
    worker = distributed.Worker(
        address,
        nthreads=1,
        memory_limit=0,  # workers hold no data of Dask that could spill
        security=security,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        death_timeout=60,
    )
    async with worker:
        await worker.finished()
