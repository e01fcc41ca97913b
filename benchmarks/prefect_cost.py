"""Measure what Prefect adds to a run that has nothing to compute, and how soon a server that cannot start is said.

    python benchmarks/prefect_cost.py [FOLDER]

Runs the command line in new processes on a small corpus and model: once to compute, then with nothing to do by both engines,
and into new stores with a broken database, an unreachable one and an unwritable PREFECT_HOME.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = """
model = "support.corpus:net"
layers = ["features.2", "features.5"]
input_size = 32
layout = "pca"
grids = [4]
until = "cells"
name = "small"
"""


def run(folder: Path, what: str, *options: str, code: int = 0, **variables: str) -> None:
    """Run once; print the processor time, the time by the clock, and what was said last."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PREFECT_HOME": str(folder / "prefect")} | variables
    command = [sys.executable, "-m", "flows.cli", "run", "--config", "run.toml", *options]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.returncode == code, done.stderr
    last = (done.stderr.splitlines() or [""])[-1][:120] if code else ""
    print(f"{what:32} {processor:6.1f} s of processor time, {seconds:6.1f} s  {last}", flush=True)


def main(folder: Path) -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from support import corpus

    (folder / "run.toml").write_text(f'images = "{corpus.write_images(folder / "images", 16)}"\n{SETTINGS}')
    (folder / "broken.db").write_text("garbage" * 100)
    (folder / "file").touch()
    run(folder, "all to compute, prefect", "--store=one")
    for engine in ("inline", "prefect") * 3:
        run(folder, f"nothing to compute, {engine}", "--store=one", f"--engine={engine}")
    address = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
    broken, nobody = f"sqlite+aiosqlite:///{folder}/broken.db", "postgresql+asyncpg://127.0.0.1:1/prefect"
    run(folder, "a broken database", "--store=two", code=1, **{address: broken})
    run(folder, "an unreachable database", "--store=two", code=1, **{address: nobody})
    run(folder, "an unwritable PREFECT_HOME", "--store=two", code=1, PREFECT_HOME=str(folder / "file" / "home"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).absolute())
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
