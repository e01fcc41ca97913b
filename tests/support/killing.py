"""Kill a run again and again at random moments, then let it finish; print what it took.

    python killing.py IMAGES STORE KILLS SEED [copied]

With `copied` a fault is planted: attempts put folders in place file by file, the manifest first, as a move to another file
system would, and die in the middle of one.

The parent imports once what a run needs, and forks a child for each attempt before any tensor was made, so that an attempt
costs a second and not ten.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numba  # noqa: F401 -- with the next two, what a run imports on its way
import sklearn.manifold  # noqa: F401
import torch
import torch._dynamo

from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.store import disk
from storage.store.places import HAPPENED, MANIFEST
from support import corpus


def plant(last: int) -> None:
    """Copy folders where they should be renamed; die in the middle of the `last`."""
    whole, moved = disk.rename, []

    def copied(source: Path, target: Path) -> None:
        if not source.is_dir():
            whole(source, target)
            return
        moved.append(target)
        first = (MANIFEST, HAPPENED)
        files = sorted((path for path in source.rglob("*") if path.is_file()), key=lambda path: path.name not in first)
        for number, path in enumerate(files):
            if len(moved) >= last and number > len(files) // 2:
                os.kill(os.getpid(), signal.SIGKILL)
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.relative_to(source))

    disk.rename = copied


def attempt(images: Path, store: Path, seconds: float | None, before: Callable[[], None] = lambda: None) -> bool:
    """Run once, killed after `seconds`; say whether the run finished. `before` may plant a fault."""
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        before()
        pipeline.run(corpus.config(images, store), Inline(), wait=True)
        os._exit(0)
    deadline = time.monotonic() + (seconds if seconds is not None else 600)
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                return False
            if status:
                raise SystemExit(f"a run failed by itself: status {status}")
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main() -> None:
    images, store, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    faulty = sys.argv[5:] == ["copied"]
    rng = random.Random(seed)
    started = time.monotonic()
    attempt(images, store / "whole", None)
    whole = time.monotonic() - started
    killed, number = 0, 0
    while killed < kills:
        # Each series starts from nothing and is killed at moments spread over what a whole run takes.
        target = store / f"killed{number}"
        for _ in range(5):
            moment, planted = rng.uniform(0.05, 1), partial(plant, rng.randrange(4, 12))
            how = (None, planted) if faulty else (moment * whole,)
            if killed < kills and not attempt(images, target, *how):
                killed += 1
        attempt(images, target, None)
        number += 1
    print(json.dumps({"kills": killed, "series": number, "whole_seconds": whole}))


if __name__ == "__main__":
    main()
