"""Peak memory of collect at two sizes of the set: it must not grow with the images.

    python benchmarks/memory.py IMAGES [--sizes 1000 10000] [--fault kept]

`--fault kept` keeps a megabyte of every image's activations: the ratio must rise above 1.1.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time

KEPT = (
    "from atlas.collect import LayerReduction as L; add, kept = L.add, []; "
    "L.add = lambda self, first, maps, valid: (kept.append(maps.flatten()[: len(maps) << 16].clone()), "
    "add(self, first, maps, valid))[1]; "
)


def peak(images: str, limit: int, fault: str | None) -> dict[str, float]:
    """Run collect in a process of its own; return its peak memory in MiB and its seconds."""
    code = (
        "import sys, resource, json; from flows.cli import invoke; "
        + (KEPT if fault else "")
        + "code = invoke(sys.argv[1:]); "
        "print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), file=sys.stderr); sys.exit(code)"
    )
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-c", code, "run", "--images", images, "--limit", str(limit), "--until", "collect"]
        started = time.perf_counter()
        done = subprocess.run([*command, "--engine", "inline", "--store", store], capture_output=True, text=True)
        if done.returncode not in (0, 3):
            raise SystemExit(done.stderr[-2000:])
    return {"images": limit, "peak_mib": float(done.stderr.splitlines()[-1]), "seconds": time.perf_counter() - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--fault", choices=["kept"])
    args = parser.parse_args()
    rows = [peak(args.images, size, args.fault) for size in args.sizes]
    for row in rows:
        print(json.dumps({name: round(value, 1) for name, value in row.items()}))
    print(json.dumps({"ratio": round(rows[-1]["peak_mib"] / rows[0]["peak_mib"], 3), "page": resource.getpagesize()}))


if __name__ == "__main__":
    main()
