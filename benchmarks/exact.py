"""Every unit of four layers against a brute-force scan over all activations of N images.

    python benchmarks/exact.py IMAGES [--count 500]

The scan runs the model image by image and sorts every activation: once with batch norms folded, as collect runs it, where
values must agree within 1e-5; and once as it was loaded, where rounding differs more, and the largest deviation is
reported. Both are compared with `run.patches(k=64)` of runs with several shard and batch sizes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import brute

from atlas.arrays import SIGNS
from flows import cores
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.run import Run, open_run


def compare(config: RunConfig, run: Run, k: int, folded: bool) -> dict[str, float]:
    """Count units and differences over all layers and both signs; the deviation is relative above 1."""
    counts: dict[str, float] = {"units": 0, "patches": 0, "differences": 0, "largest_deviation": 0.0}
    for layer in run.layers:
        found = brute.all_activations(config, run, layer, folded)
        for unit in range(next(iter(found.values())).shape[0]):
            counts["units"] += 1
            for sign in SIGNS:
                patches = run.patches(layer, unit, k, sign).to_pylist()
                wrong = brute.differences(found, unit, sign, patches, k=k)
                counts["patches"] += len(patches)
                counts["differences"] += len(wrong)
                for patch, row in zip(patches, brute.strongest(found, unit, sign, k), strict=True):
                    off = abs(patch["value"] - row[0]) / max(1.0, abs(row[0]))
                    counts["largest_deviation"] = max(counts["largest_deviation"], off)
                for line in wrong[:1]:
                    print(layer, unit, sign, line, file=sys.stderr)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--count", type=int, default=500)
    args = parser.parse_args()
    cores.share_cores()
    for shard_size, batch in ((1000, 32), (96, 8)):
        with tempfile.TemporaryDirectory() as store:
            config = RunConfig(
                images=args.images,
                store=store,
                name="exact",
                limit=args.count,
                shard_size=shard_size,
                batch=batch,
                until="patches",
            )
            pipeline.run(config, Inline())
            for folded in (True, False):
                counts = compare(config, open_run(store, "exact"), 64, folded)
                asked = {"images": args.count, "shard_size": shard_size, "batch": batch, "folded_oracle": folded}
                print(json.dumps(asked | counts), flush=True)


if __name__ == "__main__":
    main()
