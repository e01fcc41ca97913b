"""Every unit of four layers against a brute-force scan over all activations of N images.

    python benchmarks/exact.py IMAGES [--count 500]

The scan runs the model as it was loaded (batch norms not folded), image by image, and sorts every activation. It is
compared with `run.patches(k=64)` of runs with several shard and batch sizes.
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
from flows import launch, pipeline
from flows.config import RunConfig
from flows.engines import Inline
from storage.run import Run, open_run


def compare(config: RunConfig, run: Run, k: int) -> dict[str, int]:
    """Count units and differences over all layers and both signs."""
    counts = {"units": 0, "patches": 0, "differences": 0}
    for layer in run.layers:
        found = brute.all_activations(config, run, layer)
        for unit in range(next(iter(found.values())).shape[0]):
            counts["units"] += 1
            for sign in SIGNS:
                patches = run.patches(layer, unit, k, sign).to_pylist()
                wrong = brute.differences(found, unit, sign, patches, k=k)
                counts["patches"] += len(patches)
                counts["differences"] += len(wrong)
                for line in wrong[:2]:
                    print(layer, unit, sign, line, file=sys.stderr)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--count", type=int, default=500)
    args = parser.parse_args()
    launch.share_cores()
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
            counts = compare(config, open_run(store, "exact"), 64)
        print(json.dumps({"images": args.count, "shard_size": shard_size, "batch": batch, **counts}), flush=True)


if __name__ == "__main__":
    main()
