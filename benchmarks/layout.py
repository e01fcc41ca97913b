"""Measure time and memory of the stages layout, moment and cells on clustered data, each size in a process of its own.

    python benchmarks/layout.py                             10,000 and 100,000 samples of 112 units
    python benchmarks/layout.py 10000 1000000               other sizes
    python benchmarks/layout.py --dimensions 1280 50000 100000
    python benchmarks/layout.py --method tsne 10000
    python benchmarks/layout.py --fault joined 100000       what the memory would be, were all shards joined at the end

The samples lie in a store as collect leaves them, in shards of 10,000, with a listing of as many images; the stages read
them from there as in a run. Seconds are of the processor. From two sizes or more follow the bytes that the peak grows by
for each sample, and with them what a million take. The data are overlapping clusters of unequal size in a space of 8
dimensions, bent by two random layers into 112, with noise: a little easier than `_blocks.10` on 10,000 photographs
(trustworthiness 0.96 against 0.90; of a 40 × 40 grid 863 cells with 0.92 of the samples, against 669 with 0.93).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from atlas.arrays import Float, Samples
from atlas.sampling import mix
from flows.config import RunConfig
from flows.planning.tasks import Output, Task
from flows.stages.shared.execute import execute
from storage.artefacts import samples as sample_arrays
from storage.artefacts import tables
from storage.store.store import Store, stage_key

DIMENSIONS = 112
CLUSTERS = 200
INNER = 8
HIDDEN = 64
SHARD = 10_000
MILLION = 1_000_000
GRID = 40


def vectors(n: int, dimensions: int, seed: int = 0) -> Iterator[Float]:
    """Make n clustered vectors, a shard at a time."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLUSTERS, INNER))
    first_layer, second_layer = rng.normal(size=(INNER, HIDDEN)), rng.normal(size=(HIDDEN, dimensions)) / 8
    share = rng.dirichlet(np.full(CLUSTERS, 2.0))
    for first in range(0, n, SHARD):
        m = min(SHARD, n - first)
        inner = centres[rng.choice(CLUSTERS, m, p=share)] + 0.9 * rng.normal(size=(m, INNER))
        bent = np.maximum(inner @ first_layer, 0) @ second_layer
        yield (bent + 0.6 * rng.normal(size=(m, dimensions))).astype(np.float32)


def write(store: Store, n: int, dimensions: int) -> dict[str, Any]:
    """Write a listing and shards of samples, one an image; return the keys that the stages read."""
    ids, shards = np.arange(n, dtype=np.int64), []
    for number, activations in enumerate(vectors(n, dimensions)):
        own = ids[number * SHARD :][: len(activations)]
        place = np.zeros(len(own), np.int32)
        samples = Samples(activations=activations, image_id=own, y=place, x=place)
        with store.draft("collect", stage_key("collect", 0, {}, {"shard": number})) as draft:
            sample_arrays.write_samples(draft.path, samples)
            shards.append(draft.commit(sample_arrays.counts(samples)).key)
    columns = {"image_id": ids, "key": [f"photographs/{i:08}.jpg" for i in ids], "key_hash": mix(ids.astype(np.uint64))}
    with store.draft("listing", stage_key("listing", 0, {}, {})) as draft:
        tables.write_table(draft.path / "images.parquet", pa.table(columns), row_group_size=4096)
        listing = draft.commit({"images": n}).key
    return {"collect": shards, "listing": listing}


def join_at_the_end() -> None:
    """Plant the fault: read all shards, then join them, and take the moment of all in one piece."""
    from atlas.inversion import whitening

    def joined(shards: list[Any]) -> Samples:
        held = list(sample_arrays.read_by_shard(shards))
        return Samples(
            **{name: np.concatenate([getattr(part, name) for part in held]) for name in sample_arrays.FIELDS}
        )

    sample_arrays.read_samples = joined
    whitening.blocks = lambda activations: iter([activations])


def measure(store: Store, reads: dict[str, Any], method: str) -> dict[str, float | int | None]:
    """Do the stages as a run does; return what each took."""
    from atlas.layout.layout import layout

    layout(next(vectors(100, 16)), method=method)  # imports and compilation, which are not the stage's
    config = {"config": RunConfig(images="none", store=str(store.places.root), layout=method).model_dump(mode="json")}
    keys = {stage: stage_key(stage, 0, {}, {}) for stage in ("layout", "moment", "cells")}
    took: dict[str, float | int | None] = {"before_mib": peak()}
    for stage, key in keys.items():
        make = Output(stage=stage, key=key, layer="layer", grid=GRID if stage == "cells" else None)
        work = Task(stage=stage, store=config["config"]["store"], outputs=(make,), reads=reads | keys, settings=config)
        began, spent = time.perf_counter(), time.process_time()
        execute(work)
        took[f"{stage}_cpu_s"] = round(time.process_time() - spent, 1)
        took[f"{stage}_wall_s"] = round(time.perf_counter() - began, 1)
        took[f"{stage}_peak_mib"] = peak()
    record = json.loads((store.get("layout", keys["layout"]).path / "layout.json").read_text())
    cells = store.get("cells", keys["cells"]).counts
    took |= {name: record[name] for name in ("anchors", "trustworthiness")}
    return took | {"cells": cells["cells"], "in_cells": cells["samples"]}


def peak() -> int:
    """Return the most MiB that this process ever held. (What `getrusage` says begins with its parent's.)"""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) // 1024


def one_size(n: int, dimensions: int, method: str, fault: str | None) -> dict[str, Any]:
    """Measure one size in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        asked = {"store": folder, "reads": write(store, n, dimensions), "method": method, "fault": fault}
        done = subprocess.run(
            [sys.executable, __file__, "--measure", json.dumps(asked)], check=True, stdout=subprocess.PIPE, text=True
        )
        mib = {"samples": n, "dimensions": dimensions, "samples_mib": n * dimensions * 4 >> 20}
        return mib | json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--method", default="umap")
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    parser.add_argument("--fault", choices=["joined"])
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        if asked.measure["fault"]:
            join_at_the_end()
        print(json.dumps(measure(Store(Path(asked.measure["store"])), asked.measure["reads"], asked.measure["method"])))
        return
    found = []
    for n in asked.sizes:
        found.append(one_size(n, asked.dimensions, asked.method, asked.fault))
        print(json.dumps(found[-1]), flush=True)
    if len(found) > 1:
        print(json.dumps(growth(*sorted(found, key=lambda row: row["samples"])[-2:])))


def growth(less: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Tell what a further sample takes at the peak, in bytes and in parts of its vector, and a million by that."""
    low, high = (max(row[f"{stage}_peak_mib"] for stage in ("layout", "moment", "cells")) for row in (less, more))
    bytes_each = ((high - low) << 20) / (more["samples"] - less["samples"])
    return {
        "bytes_per_sample": round(bytes_each),
        "times_its_vector": round(bytes_each / (4 * more["dimensions"]), 2),
        "million_gib": round((high * 2**20 + bytes_each * (MILLION - more["samples"])) / 2**30, 2),
    }


if __name__ == "__main__":
    main()
