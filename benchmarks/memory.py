"""Peak memory of collect at two sizes of the set: it must not grow with the images.

    python benchmarks/memory.py IMAGES [--sizes 1000 10000] [--shard-size 1000] [--tar] [--fault kept|uncut]

`--tar` packs the images into one tar of each size. `--fault kept` keeps a megabyte of every image's activations, `--fault
uncut` makes one shard of a tar, however large, as it was once: the ratio must rise above 1.1.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from storage.images.contract import is_image_name

KEPT = (
    "from atlas.collect import LayerReduction as L; add, kept = L.add, []; "
    "L.add = lambda self, first, maps, valid: (kept.append(maps.flatten()[: len(maps) << 16].clone()), "
    "add(self, first, maps, valid))[1]; "
)

UNCUT = (
    "import flows.pipeline.plan as p; cut = p.shards; p.shards = lambda rows, limit, size: cut(rows, limit, 1 << 30); "
)
FAULTS = {None: "", "kept": KEPT, "uncut": UNCUT}


def packed(images: Path, count: int, folder: Path) -> Path:
    """Pack the first images of a folder into one tar."""
    files = [path for path in sorted(images.rglob("*")) if is_image_name(path.name)][:count]
    if len(files) < count:
        raise SystemExit(f"{images} has {len(files)} images, not {count}")
    with tarfile.open(folder / f"{count}.tar", "w") as tar:
        for number, path in enumerate(files):
            tar.add(path, f"{number:06d}{path.suffix}")
    return folder / f"{count}.tar"


def peak(images: str, limit: int, shard_size: int, fault: str | None) -> dict[str, float]:
    """Run collect in a process of its own; return its peak memory in MiB and its seconds."""
    code = (
        "import sys, resource, json; from flows.cli import invoke; " + FAULTS[fault] + "code = invoke(sys.argv[1:]); "
        "print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), file=sys.stderr); sys.exit(code)"
    )
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-c", code, "run", "--images", images, "--limit", str(limit), "--until", "collect"]
        started = time.perf_counter()
        command += ["--shard-size", str(shard_size), "--engine", "inline", "--store", store]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode not in (0, 3):
            raise SystemExit(done.stderr[-2000:])
    return {"images": limit, "peak_mib": float(done.stderr.splitlines()[-1]), "seconds": time.perf_counter() - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--shard-size", type=int, default=1000)
    parser.add_argument("--tar", action="store_true")
    parser.add_argument("--fault", choices=["kept", "uncut"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sources = [packed(args.images, size, Path(folder)) if args.tar else args.images for size in args.sizes]
        cases = zip(sources, args.sizes, strict=True)
        rows = [peak(str(source), size, args.shard_size, args.fault) for source, size in cases]
    for row in rows:
        print(json.dumps({name: round(value, 1) for name, value in row.items()}))
    print(json.dumps({"ratio": round(rows[-1]["peak_mib"] / rows[0]["peak_mib"], 3), "page": resource.getpagesize()}))


if __name__ == "__main__":
    main()
