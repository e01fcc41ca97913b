"""Speed of collect against a plain loop over images that are already decoded, as a ratio in one run.

    python benchmarks/collect.py IMAGES [--count 512] [--rounds 3] [--precision fp32] [--compiled] [--fault serial]

The plain loop: the same model as it was loaded, eager, channels-last, float32, batch 32, forward only. Collect: four
layers, both signs, sampling, decoding and writing included. Rounds alternate; medians are printed. `--compiled` times
the plain loop under torch.compile too. `--fault serial` decodes everything before the model starts: the ratio must fall.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from flows import cores
from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.stages import collect, image_listing
from storage.images import loader, sources
from storage.store.store import Store


def decoded(config: RunConfig, count: int) -> torch.Tensor:
    """Return the first images as uint8 `n h w c`."""
    subj = prepared.prepare(config)
    with tempfile.TemporaryDirectory() as folder:
        _, table = image_listing.list_images(Store(Path(folder)), config)
    source = sources.open_source(config.images)
    batches = loader.load(source, table.slice(0, count), subj.model.preprocess, batch=32, threads=2)
    return torch.cat([torch.from_numpy(batch.pixels[batch.valid]) for batch in batches])


def plain(config: RunConfig, pixels: torch.Tensor, compiled: bool = False) -> float:
    """Return images per second of the model alone."""
    subj = prepared.prepare(config)
    module = subj.model.module.to(subj.device, memory_format=torch.channels_last)
    if compiled:
        module = torch.compile(module)
    inputs = [subj.model.preprocess.normalise(part) for part in pixels.split(32)]
    with torch.inference_mode():
        module(inputs[0].to(subj.device))  # compiles
        started = time.perf_counter()
        for batch in inputs:
            module(batch.to(subj.device))
    if subj.device.type == "cuda":
        torch.cuda.synchronize()
    return len(pixels) / (time.perf_counter() - started)


def collected(config: RunConfig, count: int) -> float:
    """Return images per second of the collect stage, from the images on disk to the results in the store."""
    with tempfile.TemporaryDirectory() as folder:
        made = config.model_copy(update={"store": folder, "limit": count, "until": "collect", "shard_size": count})
        seconds = 0.0
        compute = collect.compute

        def timed(store: Store, work: object) -> object:
            nonlocal seconds
            started = time.perf_counter()
            done = compute(store, work)  # type: ignore[arg-type]
            seconds += time.perf_counter() - started
            return done

        collect.compute = timed  # type: ignore[assignment]
        try:
            pipeline.run(made, Inline())
        finally:
            collect.compute = compute
    return count / seconds


def serially() -> None:
    """Plant the fault: decoding does not overlap with the model."""
    load = loader.load
    loader.load = lambda *args, **kwargs: iter(list(load(*args, **kwargs)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--fault", choices=["serial"])
    args = parser.parse_args()
    cores.share_cores()
    config = RunConfig(images=args.images, precision=args.precision)
    pixels = decoded(config, args.count)
    count = len(pixels)
    if args.fault:
        serially()
    rows = []
    for _ in range(args.rounds):
        rows.append({"plain": plain(config, pixels), "collect": collected(config, count)})
        if args.compiled:
            rows[-1]["plain compiled"] = plain(config, pixels, compiled=True)
        rows[-1]["ratio"] = rows[-1]["collect"] / rows[-1]["plain"]
        print(json.dumps({name: round(value, 3) for name, value in rows[-1].items()}), flush=True)
    medians = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
    print(json.dumps({"median": medians, "images": count, "precision": args.precision}))


if __name__ == "__main__":
    main()
