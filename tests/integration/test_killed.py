"""SIGKILL at random moments: every resumed run ends in the bytes of an undisturbed one, and nothing is left over."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from support import corpus, warm
from support.trees import strays, tree

from storage.store.gc import gc
from storage.store.store import Store


@pytest.fixture
def killer(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that kills runs."""
    return warm.program(tmp_path_factory, tmp_path, "killer", "support.killing")


def kill_and_compare(killer: Path, tmp_path: Path, kills: int, *fault: str) -> list[str]:
    """Kill runs, finish them, and say what is not as in a run that nobody killed."""
    images = corpus.write_images(tmp_path / "images")
    command = [str(killer), str(images), str(tmp_path), str(kills), "0", *fault]
    done = subprocess.run(command, capture_output=True, text=True, timeout=7000)
    if done.returncode:
        return [f"a run failed: {done.stderr[-2000:]}"]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] == kills
    gc(Store(tmp_path / "whole"), older_than=0)
    whole, wrong = tree(tmp_path / "whole"), []
    assert len(whole) > 50
    for number in range(told["series"]):
        store = tmp_path / f"killed{number}"
        gc(Store(store), older_than=0)
        wrong += ["strays"] if strays(store) else []
        wrong += ["bytes"] if tree(store) != whole else []
    return wrong


def test_killed_runs_end_in_the_same_bytes(killer: Path, tmp_path: Path) -> None:
    assert kill_and_compare(killer, tmp_path, 3) == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_and_ten_kills_end_in_the_same_bytes(killer: Path, memory: Path) -> None:
    """With forty of the engines, in test_killed_engines.py, 250."""
    assert kill_and_compare(killer, memory, 210) == []


@pytest.mark.sweep
def test_mutant_results_that_are_not_put_in_place_in_one_step_are_seen(killer: Path, tmp_path: Path) -> None:
    (wrong,) = kill_and_compare(killer, tmp_path, 1, "copied")
    assert wrong == "bytes" or "is missing" in wrong
