"""Kill a run again and again at random moments, then let it finish; print what it took.

    python killing.py IMAGES STORE KILLS SEED

The parent imports torch once and forks a child for each attempt, before any tensor was made, so that an attempt costs a
second and not ten.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from flows import pipeline
from flows.engines import Inline
from support import corpus


def attempt(images: Path, store: Path, seconds: float | None) -> bool:
    """Run once, killed after `seconds`; say whether the run finished."""
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        pipeline.run(corpus.config(images, store), Inline(), wait=True)
        os._exit(0)
    deadline = time.monotonic() + (seconds if seconds is not None else 600)
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise SystemExit(f"a run failed by itself: status {status}")
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main() -> None:
    images, store, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    started = time.monotonic()
    attempt(images, store / "whole", None)
    whole = time.monotonic() - started
    killed, number = 0, 0
    while killed < kills:
        # Each series starts from nothing and is killed at moments spread over what a whole run takes.
        target = store / f"killed{number}"
        for _ in range(5):
            if killed < kills and not attempt(images, target, rng.uniform(0.05, 1) * whole):
                killed += 1
        attempt(images, target, None)
        number += 1
    print(json.dumps({"kills": killed, "series": number, "whole_seconds": whole}))


if __name__ == "__main__":
    main()
