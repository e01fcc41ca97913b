"""SIGKILL to any part of a run on Prefect and Dask: the same command ends in the same bytes, and no process is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import corpus, killing_engines
from support.trees import strays, tree

from storage.store.gc import gc
from storage.store.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SCRIPT = Path(killing_engines.__file__)


def kill_and_compare(folder: Path, who: str, kills: int) -> list[str]:
    """Kill a part of runs, finish them, and say what is not as in a run that nobody killed."""
    images = corpus.write_images(folder / "images", 48)
    command = [sys.executable, str(SCRIPT), who, str(images), str(folder), str(kills), "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3500)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] == kills
    whole, wrong = tree(folder / "whole"), list(told["wrong"])
    assert len(whole) > 40
    for number in range(told["series"]):
        store = folder / f"killed{number}"
        gc(Store(store), older_than=0)
        wrong += [f"{store.name}: strays"] if strays(store) else []
        wrong += [f"{store.name}: bytes"] if tree(store) != whole else []
    return wrong


@pytest.mark.parametrize("who", ["flow", "server", "cluster", "worker", "scheduler"])
def test_killed_engines_end_in_the_same_bytes(who: str, tmp_path: Path) -> None:
    assert kill_and_compare(tmp_path, who, 8) == []


def test_mutant_a_process_that_is_left_over_is_seen() -> None:
    environment = os.environ | {killing_engines.MARK: "left"}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment) as process:
        (name,) = killing_engines.left_over("left", 0.5)
    assert "time.sleep(60)" in name
    assert process.returncode != 0
