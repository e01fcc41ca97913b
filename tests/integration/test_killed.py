"""SIGKILL at random moments: every resumed run ends in the bytes of an undisturbed one, and nothing is left over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import corpus
from support.trees import strays, tree

from storage.gc import gc
from storage.store import Store

SCRIPT = Path(__file__).parents[1] / "support" / "killing.py"


def kill_and_compare(tmp_path: Path, kills: int) -> None:
    images = corpus.write_images(tmp_path / "images")
    command = [sys.executable, str(SCRIPT), str(images), str(tmp_path), str(kills), "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] == kills
    whole = tree(tmp_path / "whole")
    assert len(whole) > 50
    for number in range(told["series"]):
        store = tmp_path / f"killed{number}"
        gc(Store(store), older_than=0)
        assert not strays(store)
        assert tree(store) == whole


def test_killed_runs_end_in_the_same_bytes(tmp_path: Path) -> None:
    kill_and_compare(tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_end_in_the_same_bytes(tmp_path: Path) -> None:
    kill_and_compare(tmp_path, 20)


def test_mutant_a_changed_byte_is_seen(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "stages").mkdir(parents=True)
        (tmp_path / name / "stages" / "x").write_bytes(b"12" if name == "a" else b"13")
    assert tree(tmp_path / "a") != tree(tmp_path / "b")
