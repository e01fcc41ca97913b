"""Images per second of two Dask workers of one thread against one process with two threads, as a ratio in one run.

    python benchmarks/dask_workers.py IMAGES [--count 2048] [--rounds 3] [--fault alone]

Both do the collect stage of the default model and layers, from images on the disk to results in a store; workers have
started and loaded the model before, as the one process has. Rounds alternate; medians are printed. `--fault alone` has
one worker do it all: the ratio must fall below 0.9.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import json
import statistics
import tempfile
import time
from collections.abc import Iterable

import torch

from flows.cluster import engine as cluster_engine
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Engine, Inline
from flows.planning.tasks import Outcome, Task

WORKERS = 2


class Timed:
    """An engine that notes how long its last stage took."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.here, self.seconds = engine, engine.here, 0.0

    def run(self, works: Iterable[Task]) -> list[Outcome]:
        started = time.perf_counter()
        made = self.engine.run(works)
        self.seconds = time.perf_counter() - started
        return made


def rate(images: str, count: int, engine: Engine) -> float:
    """Return images per second of collect into a new store."""
    timed = Timed(engine)
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(images=images, store=folder, limit=count, until="collect", shard_size=max(1, count // 16))
        pipeline.run(config, timed)
    return count / timed.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--count", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fault", choices=["alone"])
    args = parser.parse_args()
    count = 1 if args.fault else WORKERS
    torch.set_num_threads(count)  # which workers share
    rows = []
    with tempfile.TemporaryDirectory() as seen, cluster_engine.on(f"local:{count}", seen) as workers:
        rate(args.images, 64, workers)
        torch.set_num_threads(WORKERS)
        rate(args.images, 64, Inline())
        for _ in range(args.rounds):
            row = {
                "workers": rate(args.images, args.count, workers),
                "process": rate(args.images, args.count, Inline()),
            }
            rows.append(row | {"ratio": row["workers"] / row["process"]})
            print(json.dumps({name: round(value, 3) for name, value in rows[-1].items()}), flush=True)
    medians = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
    print(json.dumps({"median": medians, "images": args.count, "workers": count}))


if __name__ == "__main__":
    main()
