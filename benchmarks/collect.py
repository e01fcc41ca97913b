"""Processor time of collect against plain loops over decoded images, with the same allocator, in one process.

    python benchmarks/collect.py IMAGES [--count 2000] [--rounds 3] [--compiled] [--before COMMIT] [--fault eager|serial]

Rounds alternate; medians are printed, as milliseconds of processor time (all threads) and of the clock an image.

    loop      the model as it was loaded, eager, channels-last, batch 32, forward only, over `--loop` decoded images
    compiled  the same under torch.compile, which is not counted
    decoded   collect's pass over `--count` decoded images: four layers, both signs, sampling; tracing included
    whole     the stage from files to results: decoding and writing included, too

`--before` also runs `actlas run --until collect` by this code and by that of a commit, each in processes of its own: for
`--count` images less for 64, so that starting is not counted.

The faults: `eager` takes no trace, so that `decoded` must lose against `compiled`; `serial` decodes everything before the
model starts, so that the clock must stand further above the processor time of a core.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flows import cores
from flows.config import RunConfig
from flows.model import fused_pass, prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.stages import collect, image_listing
from storage.images import loader, sources
from storage.store.store import Store

ROOT = Path(__file__).parents[1]
BATCH = 32
FEW = 64


class Stopwatch:
    """Adds up processor time and time by the clock, in milliseconds an image."""

    def __init__(self, images: int) -> None:
        self.images, self.cpu, self.clock = images, 0.0, 0.0

    def time(self, work: Callable[[], Any]) -> Any:
        cpu, clock = time.process_time(), time.perf_counter()
        done = work()
        self.cpu += 1000 * (time.process_time() - cpu) / self.images
        self.clock += 1000 * (time.perf_counter() - clock) / self.images
        return done


def decoded(config: RunConfig, count: int) -> tuple[Any, np.ndarray]:
    """Return the listing's first rows, and their images as uint8 `n h w c`."""
    model = prepared.prepare(config)
    with tempfile.TemporaryDirectory() as folder:
        _, table = image_listing.list_images(Store(Path(folder)), config)
    rows = table.slice(0, count)
    batches = loader.load(sources.open_source(config.images), rows, model.model.preprocess, batch=BATCH, threads=2)
    return rows, np.concatenate([batch.pixels[: len(rows) - batch.first] for batch in batches])


def loop(config: RunConfig, pixels: np.ndarray, forward: Callable[[torch.Tensor], Any]) -> Stopwatch:
    """Time the model alone, after a batch that counts for nothing."""
    preprocess = prepared.prepare(config).model.preprocess
    watch = Stopwatch(len(pixels))

    def run() -> None:
        for start in range(0, len(pixels), BATCH):
            forward(preprocess.normalise(torch.from_numpy(pixels[start : start + BATCH])))

    with torch.inference_mode():
        forward(preprocess.normalise(torch.from_numpy(pixels[:BATCH])))
        watch.time(run)
    return watch


def over_decoded(config: RunConfig, rows: Any, pixels: np.ndarray) -> Stopwatch:
    """Time collect's pass over decoded images, in a process that has traced nothing yet."""
    model = prepared.prepare(config)
    model.kept.clear()
    watch, load = Stopwatch(len(rows)), loader.load
    loader.load = lambda *given, **options: in_batches(pixels)

    def run() -> None:
        made = {name: collect._start_reduction(model, name, rows, config, False) for name in model.layers}
        _, happened = collect._pass(model, rows, collect.Reductions(layers=made, choices=None), config)
        for reduction in made.values():
            reduction.finish()
        print(happened, file=sys.stderr)

    try:
        watch.time(run)
    finally:
        loader.load = load
    return watch


def in_batches(pixels: np.ndarray) -> Iterator[loader.Batch]:
    for first in range(0, len(pixels), BATCH):
        part = pixels[first : first + BATCH]
        padded = np.concatenate([part, np.zeros((BATCH - len(part), *part.shape[1:]), np.uint8)])
        yield loader.Batch(first=first, pixels=padded, valid=np.arange(BATCH) < len(part), facts=[])


def whole(config: RunConfig, count: int) -> Stopwatch:
    """Time the stage, from the images on disk to the results in the store."""
    watch, compute = Stopwatch(count), collect.compute
    collect.compute = lambda store, task: watch.time(lambda: compute(store, task))  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        made = config.model_copy(update={"store": folder, "limit": count, "until": "collect", "shard_size": count})
        try:
            pipeline.run(made, Inline())
        finally:
            collect.compute = compute
    return watch


def command(code: Path, images: str, count: int) -> tuple[float, float]:
    """Return the processor time and the clock's, in milliseconds, of `actlas run --until collect` by this code."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--images", images, "--store", f"{folder}/store", "--limit", str(count), "--shard-size", str(count)]
        line = [sys.executable, "-m", "flows.cli", "run", *options, "--until", "collect", "--engine", "inline"]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(line, cwd=code, env=os.environ | {"PYTHONPATH": str(code)}, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * cpu, 1000 * (time.perf_counter() - started)


def by_command(code: Path, images: str, count: int) -> Stopwatch:
    watch = Stopwatch(count - FEW)
    many, few = command(code, images, count), command(code, images, FEW)
    watch.cpu, watch.clock = ((a - b) / watch.images for a, b in zip(many, few, strict=True))
    return watch


def exported(commit: str, folder: Path) -> Path:
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder


def ways(args: argparse.Namespace, before: Path) -> dict[str, Callable[[], Stopwatch]]:
    """Return what a round measures, by name."""
    config = RunConfig(images=str(Path(args.images).resolve()), precision=args.precision)
    rows, pixels = decoded(config, args.count)
    module = prepared.prepare(config).model.module.to(memory_format=torch.channels_last)
    found = {"loop": lambda: loop(config, pixels[: args.loop], module)}
    if args.compiled:
        compiled = torch.compile(module)
        found["compiled"] = lambda: loop(config, pixels[: args.loop], compiled)
    found["decoded"] = lambda: over_decoded(config, rows, pixels)
    found["whole"] = lambda: whole(config, len(rows))
    if args.before:
        found["command"] = lambda: by_command(ROOT, config.images, len(rows))
        found["command before"] = lambda: by_command(before, config.images, len(rows))
    return found


def plant(fault: str | None) -> None:
    if fault == "eager":
        fused_pass.WORTH = 1 << 60
    elif fault == "serial":
        load = loader.load
        loader.load = lambda *given, **options: iter(list(load(*given, **options)))


RATIOS = (("compiled", "decoded"), ("compiled", "whole"), ("loop", "whole"), ("command before", "command"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--loop", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--before", metavar="COMMIT")
    parser.add_argument("--fault", choices=["eager", "serial"])
    args = parser.parse_args()
    cores.share_cores()
    plant(args.fault)
    rounds: dict[str, list[Stopwatch]] = {}
    folder = Path(tempfile.mkdtemp())
    try:
        measured = ways(args, exported(args.before, folder) if args.before else folder)
        for _ in range(args.rounds):
            for name, measure in measured.items():
                rounds.setdefault(name, []).append(measure())
                last = rounds[name][-1]
                print(f"{name}: {last.cpu:.1f} ms of processor time, {last.clock:.1f} ms by the clock", flush=True)
    finally:
        shutil.rmtree(folder)
    cpu = {name: statistics.median(watch.cpu for watch in watches) for name, watches in rounds.items()}
    clock = {name: statistics.median(watch.clock for watch in watches) for name, watches in rounds.items()}
    ratios = {f"{ours} over {theirs}": (ours, theirs) for ours, theirs in RATIOS if ours in cpu and theirs in cpu}
    print(json.dumps({"processor ms": {name: round(value, 1) for name, value in cpu.items()}}))
    print(json.dumps({"clock ms": {name: round(value, 1) for name, value in clock.items()}}))
    print(json.dumps({"by processor time": {name: round(cpu[a] / cpu[b], 2) for name, (a, b) in ratios.items()}}))
    print(json.dumps({"by the clock": {name: round(clock[a] / clock[b], 2) for name, (a, b) in ratios.items()}}))


if __name__ == "__main__":
    main()
