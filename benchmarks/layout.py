"""Measure time, memory and trustworthiness of layouts of clustered data, each size in a process of its own.

    python benchmarks/layout.py                       10,000 and 100,000 samples of 112 dimensions
    python benchmarks/layout.py 10000 1000000         other sizes
    python benchmarks/layout.py --method tsne 10000
    python benchmarks/layout.py --dimensions 2048     as many units

The samples are a memmap: overlapping clusters of unequal size in a space of 8 dimensions, bent by two random layers
into 112, with noise. They are a little easier than `_blocks.10` on 10,000 photographs (trustworthiness 0.96 against
0.90; of a 40 × 40 grid 863 cells with 0.92 of the samples, against 669 with 0.93).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DIMENSIONS = 112
CLUSTERS = 200
INNER = 8
HIDDEN = 64
CHUNK = 50_000


def write_samples(path: Path, n: int, seed: int = 0, dimensions: int = DIMENSIONS) -> None:
    """Write n clustered vectors as float32."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLUSTERS, INNER))
    first_layer, second_layer = rng.normal(size=(INNER, HIDDEN)), rng.normal(size=(HIDDEN, dimensions)) / 8
    share = rng.dirichlet(np.full(CLUSTERS, 2.0))
    out = np.lib.format.open_memmap(path, "w+", np.float32, (n, dimensions))
    for first in range(0, n, CHUNK):
        m = min(CHUNK, n - first)
        inner = centres[rng.choice(CLUSTERS, m, p=share)] + 0.9 * rng.normal(size=(m, INNER))
        bent = np.maximum(inner @ first_layer, 0) @ second_layer
        out[first : first + m] = bent + 0.6 * rng.normal(size=(m, dimensions))
    out.flush()


def measure(path: Path, method: str) -> dict[str, float | int]:
    """Lay the samples out and average them on a grid of 40 × 40; return what it took."""
    from atlas.cells import average
    from atlas.inversion.whitening import second_moment
    from atlas.layout import layout

    samples = np.load(path, mmap_mode="r")
    layout(np.asarray(samples[:100]), method=method)  # imports and compilation, timed apart
    ready, began = time.process_time(), time.perf_counter()
    made = layout(samples, method=method)
    laid, spent = time.perf_counter(), time.process_time()
    cells = average(made.points, samples, grid=40)
    averaged = time.process_time()
    second_moment([samples], samples.shape[1])
    return {
        "samples": len(samples),
        "layout_s": round(laid - began, 1),
        "cpu_s": round(spent - ready, 1),
        "cells_s": round(averaged - spent, 1),
        "moment_s": round(time.process_time() - averaged, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "samples_mib": path.stat().st_size >> 20,
        "anchors": len(made.anchors),
        "trustworthiness": round(made.trustworthiness or 0.0, 4),
        "cells": len(cells.row),
        "in_cells": round(float(cells.count.sum()) / len(samples), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--method", default="umap")
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure, asked.method)))
        return
    for n in asked.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_samples(Path(folder, "samples.npy"), n, dimensions=asked.dimensions)
            command = [sys.executable, __file__, "--method", asked.method, "--measure", f"{folder}/samples.npy"]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
