"""Processor time of a run over many images in tars that finds nothing changed: listing, plan, look-up and publishing.

    python benchmarks/rerun.py [--tars 200] [--images 5000] [--fault scanned] [--profile]

Writes tars of tiny pictures with labels, and a placeholder for every result of collect, in a temporary folder (2 kB an image).
`--fault scanned` forgets the sizes and times of the containers, so that all are scanned again: the time must rise.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import json
import os
import pstats
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.planning.tasks import Outcome, Output, Task
from flows.stages.shared import writing
from storage.artefacts import tables
from storage.images import files, loader
from storage.store import disk
from storage.store.store import Store

PICTURE = b"P6\n1 1\n255\n\x10\x20\x30"


def write_tar(path: Path, first: int, count: int) -> None:
    """Write a tar of pictures with labels."""
    with path.open("wb") as tar:
        for number in range(first, first + count):
            tar.write(member(f"{number:09}.ppm", PICTURE) + member(f"{number:09}.cls", b"%03d" % (number % 1000)))
        tar.write(bytes(1024))


def member(name: str, data: bytes) -> bytes:
    """Return a member; `tarfile` would take minutes for a million headers."""
    header = bytearray(header_of(len(name), len(data)))
    header[: len(name)] = name.encode()
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * ord(" "))
    return bytes(header) + data.ljust(512, b"\0")


@functools.cache
def header_of(name: int, size: int) -> bytes:
    info = tarfile.TarInfo("x" * name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


class Placeholders:
    """An engine that writes an empty result for every output: what is measured does not read them."""

    here = True

    def __init__(self, store: Store) -> None:
        self.store = store

    def run(self, tasks: list[Task]) -> list[Outcome]:
        return [self._write(output) for task in tasks for output in task.outputs]

    def _write(self, output: Output) -> Outcome:
        with writing.drafting(self.store, output) as draft:
            tables.write_table(draft.path / "images.parquet", loader.FACTS.empty_table())
            draft.counts = {"rows": 0, "rejected": 0}
        return writing.outcome(draft)


def timed(work: Callable[[], Any], profile: bool) -> dict[str, float]:
    """Return the seconds of processor time and of the clock that work takes."""
    prepared.forget()
    profiler = cProfile.Profile()
    started, clock = time.process_time(), time.perf_counter()
    if profile:
        profiler.runcall(work)
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(45)
    else:
        work()
    return {"processor_seconds": time.process_time() - started, "seconds": time.perf_counter() - clock}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tars", type=int, default=200)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--fault", choices=["scanned"])
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, store = Path(scratch) / "tars", Path(scratch) / "store"
        folder.mkdir()
        for number in range(options.tars):
            write_tar(folder / f"{number:05}.tar", number * options.images, options.images)
        config = RunConfig(images=str(folder), store=str(store), name="rerun", weights="random", until="collect")
        disk.sync = lambda path: None  # of placeholders
        first = timed(lambda: pipeline.run(config, Placeholders(Store(store))), False)
        if options.fault:
            files._state = lambda *_: None
        again = timed(lambda: pipeline.run(config, Inline()), options.profile)
        figures = {"images": options.tars * options.images, "first": first, "again": again}
        print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
