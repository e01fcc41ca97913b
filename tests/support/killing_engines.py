"""Kill a part of a run on an engine at random moments, then let the run finish; print what it took.

    python killing_engines.py WHO IMAGES FOLDER KILLS SEED

WHO is `flow` (the process of a Prefect flow), `server` (the Prefect server that it has started), `cluster` (the process of a
run with two Dask workers), `worker` (one of these) or `scheduler` (a Dask scheduler at an address, with two workers). The
kill comes after a number of results that is drawn at random, so that it hits a slow machine at the same places. Each run is a
fork of this process, which has made its imports.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

MARK = "ACTLAS_TEST_KILLING"
"""Variable in the environment of every process that a run starts, by which those that outlive it are found."""
SERIES = 5
"""Kills of one store, at most, before its run is let finish."""
PATIENCE = 60.0
"""Seconds that what a run has started may take to end after it."""
COMMANDS = {"server": "flows.scheduling.temporary_server", "worker": "multiprocessing.spawn"}


def started(mark: str) -> list[psutil.Process]:
    """Return the processes that were started under a mark and are at work."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def left_over(mark: str, seconds: float = PATIENCE) -> list[str]:
    """Wait for all processes of a mark to end; kill those that don't, and name them."""
    deadline = time.monotonic() + seconds
    while started(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    names = []
    for process in started(mark):
        with suppress(psutil.Error):
            names.append(" ".join(process.cmdline())[:200])
            process.kill()
    return names


class Attempts:
    """Runs of one command into stores under a folder; `wrong` says what should not be."""

    def __init__(self, who: str, images: Path, folder: Path, seed: int) -> None:
        self.who, self.images, self.folder = who, images, folder
        self.rng, self.wrong, self.number = random.Random(seed), list[str](), 0
        os.environ["PREFECT_HOME"] = str(folder / "prefect")
        (folder / "prefect").mkdir()

    def kill(self, store: Path, results: int) -> bool:
        """Run with a kill after some of the results that are still to come; tell whether there was one."""
        return self.make(store, self.rng.randrange(min(count(store), results - 1), results))

    def make(self, store: Path, after: int | None = None) -> bool:
        """Run once, with a kill `after` so many results are there; tell whether there was one."""
        self.number += 1
        mark = os.environ[MARK] = f"{os.getpid()}.{self.number}"
        with self._scheduler() as (scheduler, address):
            child = fork(lambda: self._run(store, address))
            killed = after is not None and self._kill(child, scheduler, mark, store, after)
            _, status = os.waitpid(child, 0)
        self._judge(os.waitstatus_to_exitcode(status), killed)
        self.wrong += [f"{self.number}: {name} is left over" for name in left_over(mark)]
        return killed

    def _run(self, store: Path, address: str) -> int:
        from flows import cli
        from support import corpus

        config = corpus.config(self.images, store, until="cells")
        settings = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
        file = self.folder / "run.toml"
        file.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items()))
        with self._said.open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        engine = ["--engine", "inline", "--dask", address] if address else []
        return cli.invoke(["run", "--config", str(file), *engine])

    @property
    def _said(self) -> Path:
        return self.folder / f"{self.number}.log"

    def _judge(self, code: int, killed: bool) -> None:
        said = self._said.read_text() if self._said.exists() else ""
        may_fail = killed and self.who in ("server", "scheduler")
        dies = killed and self.who in ("flow", "cluster")
        fine = code == -signal.SIGKILL if dies else code == 0 or (may_fail and code == 1)
        if not fine or "Traceback" in said:
            self.wrong.append(f"{self.number}: exit {code} after {said[-1500:]}")

    def _kill(self, child: int, scheduler: int, mark: str, store: Path, after: int) -> bool:
        """Wait for so many results and a victim, and kill it; tell whether the run was still at work."""
        while not ended(child):
            if count(store) >= after and (victim := self._victim(child, scheduler, mark)):
                time.sleep(self.rng.uniform(0, 0.2))
                if ended(child):
                    return False
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                return True
            time.sleep(0.02)
        return False

    def _victim(self, child: int, scheduler: int, mark: str) -> int | None:
        if self.who not in COMMANDS:
            return scheduler if self.who == "scheduler" else child
        pids = []
        for process in started(mark):
            with suppress(psutil.Error):
                pids += [process.pid] if COMMANDS[self.who] in " ".join(process.cmdline()) else []
        return self.rng.choice(pids) if pids else None

    @contextmanager
    def _scheduler(self) -> Iterator[tuple[int, str]]:
        """Run a Dask scheduler with two workers where that is to be killed; yield its process and the value of `--dask`."""
        if self.who != "scheduler":
            yield 0, "local:2" if self.who in ("cluster", "worker") else ""
            return
        reader, writer = os.pipe()
        scheduler = fork(lambda: asyncio.run(schedule(writer)))
        address = os.read(reader, 200).decode()
        workers = [fork(lambda: asyncio.run(work(address))) for _ in range(2)]
        try:
            yield scheduler, address
        finally:
            for process in (scheduler, *workers):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
            os.close(reader)
            os.close(writer)


def count(store: Path) -> int:
    """Return the number of results."""
    return len(list(store.glob("stages/*/*")))


def fork(work: Callable[[], int | None]) -> int:
    """Do some work in a fork of this process; its result is the exit code."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = work() or 0
        finally:
            os._exit(code)
    return child


def ended(child: int) -> bool:
    return psutil.Process(child).status() == psutil.STATUS_ZOMBIE


async def schedule(writer: int) -> None:
    """Be a Dask scheduler, and write its address into a pipe."""
    import distributed

    async with distributed.Scheduler(
        host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0"
    ) as scheduler:
        os.write(writer, scheduler.address.encode())
        await scheduler.finished()


async def work(address: str) -> None:
    """Be a Dask worker until the scheduler is gone."""
    import distributed

    async with distributed.Worker(address, nthreads=1, memory_limit=0, dashboard=False) as worker:
        await worker.finished()


def imported() -> None:
    """Import what a run needs, so that its fork need not."""
    import numba  # noqa: F401
    import sklearn.manifold  # noqa: F401
    import torch

    import flows.cli
    import flows.cluster.engine
    import flows.pipeline.run
    import flows.scheduling.prefect_flow  # noqa: F401

    torch.set_num_threads(1)


def main() -> None:
    who, images, folder, kills, seed = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:6])
    os.environ["PREFECT_CLIENT_MAX_RETRIES"] = "1"  # else a lost server is waited for, half a minute for each request
    imported()
    attempts = Attempts(who, images, folder, seed)
    attempts.make(folder / "whole")
    results, killed, series = count(folder / "whole"), 0, 0
    while killed < kills:
        store = folder / f"killed{series}"
        for _ in range(SERIES):
            if killed < kills and not (store / "runs").exists():
                killed += attempts.kill(store, results)
        attempts.make(store)
        series += 1
    print(json.dumps({"kills": killed, "series": series, "runs": attempts.number, "wrong": attempts.wrong}))


if __name__ == "__main__":
    main()
