"""Changes of code that fingerprints miss, changes that they should not see, and the time that fingerprints take.

    python benchmarks/stale.py [--mutants 200] [--photos 500] [--harmless 60]

Mutants are of a model of a user's own (`tests/data/own_model`), one change of its syntax tree each; harmless changes are of
the package of the default model. Nothing stale means that, code included, every mutant has another fingerprint.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import harmless, mutating

from flows.model import fingerprints, prepared
from storage import models
from storage.images.decode import decode
from storage.images.samples import sample_photos

TIMED = {"efficientnet-lite0": None, "torchvision:resnet50": "random", "torchvision:vit_b_16": "random"}


def print_mutants(folder: Path, count: int, photos: int) -> None:
    """Try mutants, and print how many are missed by trace, by outputs, and with the code."""
    files = sorted(path for path in sample_photos(folder / "photos").rglob("*.*") if path.is_file())[:photos]
    trials = list(mutating.sweep(folder / "mutants", [decode(file.read_bytes()) for file in files], count))
    effective = [trial for trial in trials if trial.changed]
    missed, by_trace = (sum(map(bool, kind)) for kind in zip(*((t.missed, t.by_trace) for t in effective), strict=True))
    stale = sum(trial.stale for trial in trials)
    print(
        f"{len(trials)} mutants, {len(effective)} change an output on {len(files)} photos; stale with the code: {stale}"
    )
    print(f"missed by trace and outputs: {missed} ({missed / len(effective):.1%}); by the trace alone: {by_trace}")
    for trial in effective:
        if trial.missed:
            print(f"  {trial.mutant.file}:{trial.mutant.line} {trial.mutant.change}: {', '.join(sorted(trial.missed))}")


def print_times() -> None:
    """Print the processor time of fingerprints: the first time, and again in the same process."""
    for spec, weights in TIMED.items():
        model = models.load(spec, weights=weights)
        seconds = [_seconds(model) for _ in range(2)]
        print(f"{spec}: {seconds[0]:.2f} s of processor time, again {seconds[1]:.2f} s")


def _seconds(model: models.Model) -> float:
    started = time.process_time()
    fingerprints.of_model(model, prepared.example(model), [""])
    return time.process_time() - started


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--harmless", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        moved = harmless.recomputed(Path(scratch) / "harmless", given.harmless)
        print(f"{given.harmless} harmless changes of a library's model; recomputed after: {len(moved)} {moved or ''}")
        print_mutants(Path(scratch), given.mutants, given.photos)
    print_times()


if __name__ == "__main__":
    main()
