"""Worker processes on this machine, each started again when it dies, at whatever moment that is.

Dask's own nanny gives up a worker that dies while it starts, and its local cluster one that is away for 15 s: on a busy
machine a run could be left without any. This module imports no torch, so that a worker is there in a second.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import dask
import distributed

SETTINGS: dict[str, Any] = {
    "distributed.scheduler.worker-ttl": None,  # a dead worker is seen at once here; a silent one computes
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}

LOOK = 0.5
"""Seconds between two looks at who has died; also the least time between two starts."""

_spawn = multiprocessing.get_context("spawn")


@contextmanager
def cluster(processes: int, threads: int) -> Iterator[distributed.LocalCluster]:
    """Keep `processes` workers of `threads` threads for the length of the block: on loopback, with keys of their own."""
    security = distributed.Security.temporary()
    with (
        dask.config.set(SETTINGS),
        distributed.LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            security=security,
            silence_logs=logging.CRITICAL,
        ) as made,
        _kept(processes, threads, (made.scheduler_address, security)),
    ):
        yield made


@contextmanager
def _kept(processes: int, threads: int, told: tuple[str, distributed.Security]) -> Iterator[None]:
    crew = [_start(threads, told) for _ in range(processes)]
    over = threading.Event()

    def keep() -> None:
        while not over.wait(LOOK):
            wait([process.sentinel for process in crew], LOOK)
            for number, process in enumerate(crew):
                if not process.is_alive() and not over.is_set():
                    crew[number] = _start(threads, told)

    keeper = threading.Thread(target=keep, daemon=True, name="dask-crew")
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        for process in crew:
            process.kill()  # results are committed as a whole or not at all
        for process in crew:
            process.join()


def _start(threads: int, told: tuple[str, distributed.Security]) -> BaseProcess:
    """Start a worker. Libraries read the number of their threads when they are loaded, so it must be there before."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        process = _spawn.Process(target=serve, args=told, daemon=True)
        process.start()
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
    return process


def serve(address: str, security: distributed.Security) -> None:
    """Be a worker until the scheduler is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends its workers
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(SETTINGS):
        asyncio.run(_serve(address, security))


async def _serve(address: str, security: distributed.Security) -> None:
    worker = distributed.Worker(
        address,
        nthreads=1,
        memory_limit=0,  # no data of Dask's is held, so that nothing could be spilt
        security=security,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        death_timeout=60,
    )
    async with worker:
        await worker.finished()
