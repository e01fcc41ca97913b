"""Whether a GPU waits: collect against the model's bare loop there, with decoding, against the CPU, and icons by batch.

    python benchmarks/gpu.py [--device cuda] [--images FOLDER] [--minutes 8] [--fault host]
    python benchmarks/gpu.py --device cpu --tiny

Four parts, one JSON line a measurement; medians of rounds that alternate. (1) Images per second of the folded model over
batches that lie on the device; of the same with one amax and one amin of each layer; of collect over the same images,
decoded before, through pinned memory to the parts; in fp32 and bf16, of 4 and 16 layers. `of amax` is to be 0.9 or more.
(2) Images per second of collect with the decoding of JPEGs in 1, 4 and 16 threads. (3) Patches on the device against the
CPU's: every value within 0.001 of the largest of its unit, in fp32. (4) Icons per second in batches of 16, 64 and 256.
`--tiny` is to try the script on a CPU. `--minutes` starts no further measurement after that time, and says so.
`--fault host` copies every activation to the host and sorts it there before it is reduced: `of amax` must fall.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from atlas.arrays import SIGNS
from atlas.collect import LayerReduction, Part
from atlas.inversion import icons, recipes
from atlas.model import activations
from flows import cores
from flows.config import RunConfig
from flows.model import prepared
from flows.model.prepared import PreparedModel
from flows.stages import collect, image_listing
from storage.errors import UsageError
from storage.store.store import Store

BLOCKS = [f"layer{stage}.{block}" for stage, blocks in enumerate((3, 4, 6, 3), 1) for block in range(blocks)]
ENDS = ["layer1.2", "layer2.3", "layer3.5", "layer4.2"]
TOLERANCE = 1e-3
started = time.monotonic()


def settings(args: argparse.Namespace, layers: list[str], **more: Any) -> RunConfig:
    size = {"input_size": 64} if args.tiny else {}
    model = "torchvision:resnet50"
    images = str(args.images or "sample-photos")
    common = {"model": model, "weights": "random", "layers": tuple(layers), "device": args.device, "batch": args.batch}
    return RunConfig(**{"images": images, **common, **size, **more})


def say(args: argparse.Namespace, part: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Print a measurement, or why there is none."""
    if time.monotonic() - started > 60 * args.minutes:
        print(json.dumps({"part": part, "left out": f"{args.minutes} minutes are over"}), flush=True)
        return
    try:
        measured = measure()
    except UsageError as error:
        measured = {"left out": str(error)}
    print(json.dumps({"part": part, **measured}), flush=True)


def seconds(model: PreparedModel, work: Callable[[], object]) -> float:
    """Return the time from an idle device to an idle device."""
    wait(model)
    before = time.perf_counter()
    work()
    wait(model)
    return time.perf_counter() - before


def wait(model: PreparedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


def loader_batches(pixels: np.ndarray, batch: int) -> Iterator[Any]:
    for first in range(0, len(pixels), batch):
        yield SimpleNamespace(first=first, pixels=pixels[first : first + batch], valid=np.ones(batch, bool), facts=[])


def reduce(model: PreparedModel, config: RunConfig, pixels: np.ndarray) -> dict[str, Part]:
    """Collect from decoded images, as the stage does."""
    ids = np.arange(len(pixels))
    rows = pa.table({"image_id": ids, "key_hash": ids.astype(np.uint64)})
    made = {name: collect._start_reduction(model, name, rows, config, False) for name in config.layers}
    load = collect.loader.load
    collect.loader.load = lambda *given, **options: loader_batches(pixels, prepared.batch_of(config))  # type: ignore[assignment]
    try:
        collect._pass(model, rows, collect.Reductions(layers=made, choices=None), config)
    finally:
        collect.loader.load = load
    return {name: reduction.finish() for name, reduction in made.items()}


def loops(args: argparse.Namespace, layers: list[str], precision: str) -> dict[str, Any]:
    """Measure the bare loop, the loop with amax and amin, and collect."""
    config = settings(args, layers, precision=precision)
    model = prepared.prepare(config)
    batch, count = prepared.batch_of(config), args.batches
    pixels = noise(model, batch * count)
    resident = [model.input(torch.from_numpy(pixels[k * batch :][:batch])) for k in range(count)]
    every = {name: model.layers[name] for name in layers}

    def bare() -> None:
        last = {layers[-1]: every[layers[-1]]}
        forward(last, lambda name, activation: None)

    def extremes() -> None:
        forward(every, lambda name, activation: (activation.amax((2, 3)), activation.amin((2, 3))))  # type: ignore[arg-type,return-value]

    def forward(visited: Any, visit: Callable[[str, torch.Tensor], None]) -> None:
        with torch.inference_mode():
            for one in resident:
                activations.run_to(model.folded, one, visited, visit)

    works: dict[str, Callable[[], object]] = {
        "bare": bare,
        "amax": extremes,
        "collect": lambda: reduce(model, config, pixels),
    }
    for work in works.values():
        work()  # kernels are chosen and memory is taken
    rounds = [{name: seconds(model, work) for name, work in works.items()} for _ in range(args.rounds)]
    each = {name: len(pixels) / statistics.median(one[name] for one in rounds) for name in works}
    ratios = {
        f"of {name}": round(statistics.median(r[name] / r["collect"] for r in rounds), 3) for name in ("amax", "bare")
    }
    speeds = {f"{name} images/s": round(value, 1) for name, value in each.items()}
    return {"layers": len(layers), "precision": precision, "images": len(pixels), **speeds, **ratios}


def noise(model: PreparedModel, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, model.model.preprocess.blank(count).shape, dtype=np.uint8)


def write_photos(folder: Path, count: int) -> Path:
    """Write JPEGs of smooth noise, 500 × 375 pixels, that take about as long to decode as photographs."""
    rng = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        small.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number:05d}.jpg", quality=90)
    return folder


def decoding(args: argparse.Namespace, photos: Path, threads: int) -> dict[str, Any]:
    """Measure collect of files, decoded in so many threads."""
    config = settings(args, ENDS, images=str(photos))
    model = prepared.prepare(config)
    with tempfile.TemporaryDirectory() as folder:
        _, rows = image_listing.list_images(Store(Path(folder)), config)
    collect.cores = lambda: threads  # type: ignore[assignment]

    def work() -> None:
        made = {name: collect._start_reduction(model, name, rows, config, False) for name in ENDS}
        collect._pass(model, rows, collect.Reductions(layers=made, choices=None), config)
        for reduction in made.values():
            reduction.finish()

    work()
    return {"threads": threads, "images": len(rows), "images/s": round(len(rows) / seconds(model, work), 1)}


def against_the_cpu(args: argparse.Namespace) -> dict[str, Any]:
    """Compare the strongest patches with those that the CPU finds."""
    config = settings(args, ENDS)
    here = config.model_copy(update={"device": "cpu", "batch": prepared.batch_of(config)})
    model = prepared.prepare(config)
    pixels = noise(model, 2 * prepared.batch_of(config))
    there = reduce(model, config, pixels)
    ours = reduce(prepared.prepare(here), here, pixels)
    furthest, same, total = 0.0, 0, 0
    for name in ENDS:
        for sign in SIGNS:
            a, b = there[name].top[sign], ours[name].top[sign]
            furthest = max(furthest, _distance(a.value, b.value))
            same, total = same + int((a.image_id == b.image_id).sum()), total + a.image_id.size
    return {"largest difference": furthest, "within": furthest <= TOLERANCE, "same image": round(same / total, 4)}


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference of values, as a share of the largest of its unit."""
    a, b = np.where(np.isfinite(a), a, 0), np.where(np.isfinite(b), b, 0)
    return float((np.abs(a - b) / np.maximum(np.abs(b).max(axis=1, keepdims=True), 1e-6)).max())


def drawing(args: argparse.Namespace, batch: int) -> dict[str, Any]:
    """Measure icons of a layer, one try each."""
    config = settings(args, ENDS)
    model = prepared.prepare(config)
    layer = model.layers["layer3.5"]
    targets = np.abs(np.random.default_rng(0).standard_normal((batch, layer.units))).astype(np.float32)
    recipe = recipes.ICON_RECIPES["fast"]

    def work() -> None:
        icons.icons(
            model.drawing(),
            layer,
            targets,
            np.eye(layer.units),
            recipe=recipe,
            seeds=list(range(batch)),
            mean=model.model.mean,
            std=model.model.std,
            own_size=model.model.preprocess.size,
            batch=batch,
            tries=1,
        )

    return {"batch": batch, "icons/s": round(batch / seconds(model, work), 3)}


def reduce_on_the_host() -> None:
    """Plant the fault: every activation is copied to the host, waited for and sorted there."""
    add = LayerReduction.add

    def slow(self: LayerReduction, first: int, activation: torch.Tensor, valid: Any) -> None:
        activation.to("cpu", copy=True).float().flatten(2).sort(dim=2)
        add(self, first, activation, valid)

    LayerReduction.add = slow  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--fault", choices=["host"])
    args = parser.parse_args()
    cores.share_cores()
    args.batch, count, sizes = None, 3000, (16, 64, 256)
    if args.tiny:
        args.batch, args.batches, args.rounds, count, sizes = 4, 2, 2, 8, (2,)
    if args.fault:
        reduce_on_the_host()
    for precision in ("fp32", "bf16"):
        for layers in (ENDS, BLOCKS):
            say(args, "loops", lambda layers=layers, precision=precision: loops(args, layers, precision))  # type: ignore[misc]
    say(args, "patches", lambda: against_the_cpu(args))
    with tempfile.TemporaryDirectory() as folder:
        photos = args.images or write_photos(Path(folder), count)
        for threads in (1, 4, 16):
            say(args, "decoding", lambda threads=threads: decoding(args, photos, threads))  # type: ignore[misc]
    for batch in sizes:
        say(args, "icons", lambda batch=batch: drawing(args, batch))  # type: ignore[misc]


if __name__ == "__main__":
    main()
