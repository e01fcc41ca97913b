"""Milliseconds a task takes through prefect-dask's task runner, and as a plain future of one Prefect task, in one run.

    python benchmarks/task_runner.py [--tasks 200] [--rounds 3]

Tasks do nothing; the cluster has two workers of this machine and is the same for both, and so is the Prefect server, one
of the benchmark's own on SQLite. Rounds alternate; medians are printed, and what workers have loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import distributed
from support.prefect_server import QUICK, running


def nothing(number: int) -> int:
    return number


def through_the_task_runner(address: str, tasks: int) -> float:
    """Return milliseconds per task, each a Prefect task on a worker."""
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect_dask import DaskTaskRunner

    noted = task(nothing, cache_policy=NO_CACHE, persist_result=False)

    @flow(task_runner=DaskTaskRunner(address=address), persist_result=False)
    def each() -> None:
        started.append(time.perf_counter())
        assert noted.map(range(tasks)).result() == list(range(tasks))
        started.append(time.perf_counter())

    started: list[float] = []
    each()
    return 1e3 * (started[1] - started[0]) / tasks


def as_plain_futures(address: str, tasks: int) -> float:
    """Return milliseconds per task, all futures of one Prefect task of the flow's process."""
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    @task(cache_policy=NO_CACHE, persist_result=False)
    def fan_out() -> None:
        with distributed.Client(address) as client:
            assert client.gather(client.map(nothing, range(tasks), pure=False)) == list(range(tasks))

    @flow(persist_result=False)
    def together() -> float:
        started = time.perf_counter()
        fan_out()
        return time.perf_counter() - started

    return 1e3 * together() / tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        os.environ |= QUICK | {"PREFECT_API_URL": server.address, "PREFECT_HOME": folder}
        os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
        )
        with cluster, distributed.Client(cluster) as client:
            as_plain_futures(cluster.scheduler_address, 8)
            before = client.run(memory)
            through_the_task_runner(cluster.scheduler_address, 8)
            print(json.dumps({"worker_mib": [*before.values()], "with_prefect": [*client.run(memory).values()]}))
            ways = {"task_runner_ms": through_the_task_runner, "plain_ms": as_plain_futures}
            rows = [
                {name: way(cluster.scheduler_address, args.tasks) for name, way in ways.items()}
                for _ in range(args.rounds)
            ]
    medians = {name: round(statistics.median(row[name] for row in rows), 2) for name in ways}
    print(json.dumps(medians | {"tasks": args.tasks, "rounds": args.rounds}))


def memory() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss >> 20)


if __name__ == "__main__":
    main()
