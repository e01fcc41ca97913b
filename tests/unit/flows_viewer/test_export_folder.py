"""Exports that are killed: the earlier export stands, or the new one, and nothing lies beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.viewer import export_folder

CODE = """
import os, sys, time
from pathlib import Path
from flows.viewer.export_folder import replacing
if sys.argv[2:] == ["slow"]:
    rename = Path.rename
    Path.rename = lambda self, target: (rename(self, target), time.sleep(0.05))[0]
print("ready", flush=True)
with replacing(Path(sys.argv[1])) as fresh:
    fresh.mkdir()
    for number in range(200):
        (fresh / str(number)).write_text("new")
        time.sleep(0.0005)
print("done", flush=True)
"""
ROOT = Path(__file__).parents[3]


def export(folder: Path, seconds: float | None, *how: str) -> bool:
    """Write an export in another process, killed after some seconds; tell whether it ended."""
    with subprocess.Popen([sys.executable, "-c", CODE, str(folder), *how], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if seconds is not None:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        return process.wait(30) == 0


def beside(folder: Path) -> list[str]:
    """Return what lies beside the export once the shell of a killed one had time to end."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        names = sorted(path.name for path in folder.parent.iterdir() if path != folder)
        if not names:
            break
        time.sleep(0.02)
    return names


def content(folder: Path) -> set[str]:
    return {f"{path.read_text()} {len(list(folder.iterdir()))}" for path in folder.iterdir()}


def kill_and_look(folder: Path, kills: int) -> int:
    """Kill exports over an earlier one at moments spread over what one takes; return how many ended before."""
    folder.mkdir(parents=True)
    (folder / "0").write_text("old")
    started = time.monotonic()
    assert (
        export(folder.parent.parent / "whole" / "page", None) if (folder.parent.parent / "whole").mkdir() is None else 0
    )
    whole, ended = time.monotonic() - started, 0
    for number in range(kills):
        ended += export(folder, whole * number / kills, *(["slow"] if number % 2 else []))
        assert beside(folder) == []
        assert content(folder) in ({"old 1"}, {"new 200"})
    return ended


def test_killed_exports_leave_nothing_behind(tmp_path: Path) -> None:
    assert kill_and_look(tmp_path / "a" / "page", 4) < 4


@pytest.mark.slow
def test_killed_exports_leave_nothing_behind_at_any_moment(tmp_path: Path) -> None:
    assert kill_and_look(tmp_path / "a" / "page", 60) < 60


def leave(folder: Path, *parts: str) -> Path:
    """Leave what a process leaves whose shell was killed with it."""
    scratch = folder.parent / f".{folder.name}.actlas-export.{'0' * 16}"
    for part in parts:
        (scratch / part).mkdir(parents=True)
        (scratch / part / "0").write_text(part)
    (scratch / "lock").write_bytes(b"")
    return scratch


def test_what_a_lost_shell_left_goes_with_the_next_export(tmp_path: Path) -> None:
    leave(tmp_path / "other", "fresh")
    (tmp_path / ".other.actlas-export.mine").mkdir()
    with export_folder.replacing(tmp_path / "page") as fresh:
        fresh.mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.actlas-export.mine", "page"]


def test_an_export_killed_between_its_two_moves_gives_the_earlier_one_back(tmp_path: Path) -> None:
    leave(tmp_path / "page", "fresh", "old")
    export_folder.tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    assert (tmp_path / "page" / "0").read_text() == "old"


def test_an_export_at_work_is_left_alone(tmp_path: Path) -> None:
    with export_folder.replacing(tmp_path / "page") as fresh:
        fresh.mkdir()
        with export_folder.replacing(tmp_path / "other") as second:
            second.mkdir()
        assert fresh.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "page"]


def test_an_export_that_fails_leaves_the_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()

    def fail() -> None:
        with export_folder.replacing(tmp_path / "page") as fresh:
            fresh.mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.listdir(tmp_path) == ["page"]


def test_mutant_without_the_shell_something_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "test_export_folder.CODE",
        CODE.replace("import os", "import flows.viewer.export_folder as f; f.TIDY = 'exit'; import os"),
    )
    monkeypatch.setattr(time, "monotonic", iter(range(10**6)).__next__)  # no need to wait for what never goes
    assert not export(tmp_path / "page", 0.05)
    assert beside(tmp_path / "page") != []
