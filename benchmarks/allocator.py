"""Processor time, page faults and peak memory of a pass, with freed memory kept in the process and without.

    python benchmarks/allocator.py [--batches 12] [--batch 32]

The default model up to `_blocks.10` on one thread, on noise. Each way in a process of its own. Without is the planted fault:
its system time must be several times higher.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def measure(batches: int, batch: int, kept: bool) -> dict[str, float]:
    """Return milliseconds of processor time, page faults per image, and the peak in MiB, in this process."""
    import torch

    from flows import allocator
    from flows.config import RunConfig
    from flows.model import prepared

    if kept and not allocator.keep_freed_memory():
        raise SystemExit("freed memory can't be kept here: see flows/allocator.py")
    torch.set_num_threads(1)
    model = prepared.prepare(RunConfig(images="", layers=("_blocks.10",)))
    pixels = torch.randint(0, 255, (batch, *model.model.preprocess.size, 3), dtype=torch.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(batches):
        model.visit(pixels, ["_blocks.10"], lambda name, activation: None)
    after = resource.getrusage(resource.RUSAGE_SELF)
    images = batches * batch
    return {
        "user_ms": 1000 * (after.ru_utime - before.ru_utime) / images,
        "system_ms": 1000 * (after.ru_stime - before.ru_stime) / images,
        "faults": (after.ru_minflt - before.ru_minflt) / images,
        "peak_mib": after.ru_maxrss / 1024,
    }


def main() -> None:
    """Measure both ways and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--here", choices=("kept", "returned"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.batches, given.batch, given.here == "kept")))
        return
    for way in ("returned", "kept"):
        command = [
            sys.executable,
            __file__,
            "--here",
            way,
            "--batches",
            str(given.batches),
            "--batch",
            str(given.batch),
        ]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        figures = ", ".join(f"{name} {value:,.1f}" for name, value in json.loads(answer).items())
        print(f"freed memory {way}: {figures}")


if __name__ == "__main__":
    main()
