"""What a run over very many images of a large model takes, stage by stage, in core-hours and bytes.

    python benchmarks/scale.py IMAGES [--run-images 1281167] [--model torchvision:resnet50] [--probe 256] [--fault wall]

A few images go through all stages, as for `actlas run --dry-run`, and its laws scale them up; but seconds are processor
time of this process's threads, which a busy machine lengthens far less than it does the clock's. Layouts are scaled from
`benchmarks/layout.py --dimensions`. `--fault wall` takes the clock's: on a busy machine the figures must rise.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import json
import math
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

from flows import cores, stages
from flows.config import RunConfig
from flows.dry_run import estimate as estimates
from flows.dry_run import probe as probes
from flows.dry_run.probe import Probe
from flows.model import prepared
from flows.pipeline.layout_frames import Frames
from flows.pipeline.plan import Planner
from flows.planning import costs as laws
from flows.planning.costs import Size
from flows.stages import icons as laws_of_icons
from flows.stages import image_listing
from storage.store.store import Store

BLOCKS = [f"layer{stage}.{block}" for stage, blocks in enumerate((3, 4, 6, 3), 1) for block in range(blocks)]
BY_LAYER = ("field", "moment", "patches", "layout")
BY_GRID = ("cells", "members", "icons", "tiles")


def probed(config: RunConfig) -> tuple[Planner, Probe, float]:
    """Probe all stages; also return the seconds that listing takes for an image."""
    with tempfile.TemporaryDirectory() as folder:
        store, started = Store(Path(folder)), probes.time.monotonic()
        listed, table = image_listing.list_images(store, config)
        each = (probes.time.monotonic() - started) / len(table)
        planner = Planner(config, prepared.prepare(config), listed.output.key, table, Frames(store, config))
        wanted = {"images", "collect", *BY_LAYER, *BY_GRID}
        return planner, probes.probe(config, planner.model, table, wanted, planner.layers), each


def plan(planner: Planner, probe: Probe, images: int) -> dict[str, dict[str, float]]:
    """Return seconds and bytes by stage for so many images."""
    config, found = planner.config, defaultdict[str, dict[str, float]](lambda: {"seconds": 0.0, "bytes": 0.0})

    def add(stage: str, layer: str | None, size: Size, times: int = 1) -> None:
        made = estimates.scale(stage, layer, size, probe)
        found[stage]["seconds"] += times * made.seconds
        found[stage]["bytes"] += times * made.bytes

    shards = math.ceil(images / config.shard_size)
    for layer in (None, *planner.layers):
        units = planner.model.layers[layer].units if layer else 0
        shard = size_of(planner, units, min(images, config.shard_size), len(planner.layers) + 1)
        add("collect" if layer else "images", layer, shard, shards)
        for stage in BY_LAYER if layer else ():
            add(stage, layer, size_of(planner, units, images))
        for grid in config.grids if layer else ():
            for stage in BY_GRID:
                add(stage, layer, size_of(planner, units, images, cells=laws.filled_cells(images, grid)))
    return dict(found)


def size_of(planner: Planner, units: int, images: int, together: int = 1, cells: float = 0.0) -> Size:
    return Size(
        images=images,
        together=together,
        samples=images,
        layers=len(planner.layers),
        units=units,
        cells=cells,
        classes=len(planner.model.model.classes),
        input=planner.model.model.preprocess.size,
        method=planner.config.layout,
        per_cell=None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--model", default="torchvision:resnet50")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--layers", nargs="+", default=BLOCKS)
    parser.add_argument("--run-images", type=int, default=1_281_167)
    parser.add_argument("--shard-size", type=int, default=10_000)
    parser.add_argument("--probe", type=int, default=256)
    parser.add_argument("--fault", choices=["wall"])
    args = parser.parse_args()
    if args.fault is None:
        probes.time = stages.time = SimpleNamespace(monotonic=time.process_time)  # type: ignore[assignment]
    probes.IMAGES = args.probe
    cores.share_cores()
    settings = {"model": args.model, "weights": args.weights, "layers": args.layers, "shard_size": args.shard_size}
    planner, probe, listed = probed(RunConfig(images=args.images, **settings))
    units = sum(planner.model.layers[layer].units for layer in planner.layers)
    print(json.dumps({"layers": len(planner.layers), "units": units, "batch": prepared.batch_of(planner.config)}))
    rates = {"listing": listed, "decode": probe.decode, "collect": probe.collect, "icons": _icon(probe)}
    print(json.dumps({f"{name}_s": round(seconds, 6) for name, seconds in rates.items()}))
    print(json.dumps({"bytes_an_image": grown(probe, True) // probe.images, "bytes_a_shard": grown(probe, False)}))
    for stage, row in plan(planner, probe, args.run_images).items():
        told = {"stage": stage, "core_hours": round(row["seconds"] / 3600, 2), "gb": round(row["bytes"] / 1e9, 2)}
        print(json.dumps(told), flush=True)
    print(json.dumps({"probe_mib": probe.memory >> 20, "listing_core_hours": listed * args.run_images / 3600}))


def grown(probe: Probe, growing: bool) -> int:
    """Return the bytes of a shard of the probe that go with its images, or those that don't, over all layers."""
    costs = [cost.bytes for (stage, _), cost in probe.costs.items() if stage in ("collect", "images")]
    return sum(size for files in costs for name, size in files.items() if (name in laws.GROWING) is growing)


def _icon(probe: Probe) -> float:
    """Return the seconds of an icon of the last layer, in a full batch, at all steps."""
    cost = next(cost for (stage, _), cost in probe.costs.items() if stage == "icon_parts")
    return laws_of_icons.full_batches(cost, 16).seconds / 16


if __name__ == "__main__":
    main()
