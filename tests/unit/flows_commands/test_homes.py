"""A user without a home, or with one that cannot be used: commands work, or say in one line what cannot be kept."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from support import stores

from flows import cli
from flows.commands.shared import terminal


@pytest.fixture(params=["unset", "empty", "missing", "a file"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take the home from this user, and stand in an empty folder."""

    def unknown(user: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    (file := tmp_path / "file").write_text("")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(terminal, "NO_HOME", f"{file}/none")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "ACTLAS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    values = {"empty": "", "missing": f"{file}/home", "a file": str(file)}
    monkeypatch.setenv("HOME", values.get(request.param, ""))
    if request.param == "unset":
        monkeypatch.delenv("HOME")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return str(request.param)


NET = "--model support.corpus:net --input-size 32 --layers pool"

COMMANDS = {
    f"run --images sample-photos {NET} --dry-run": "cannot write the sample photos under",
    "view photos --no-browser --store STORE": "your token cannot be kept in",
    "runs list --store STORE": None,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_work_or_say_one_line(
    command: str, home: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores.published(tmp_path / "store", "listing", layers=["l"])
    code = cli.invoke(command.replace("STORE", str(tmp_path / "store")).split())
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("actlas: ")]
    assert (code != 0, len(said)) == ((True, 1) if COMMANDS[command] else (False, 0))
    assert str(COMMANDS[command] or "") in "".join(said)
    assert list(Path().iterdir()) == []


def test_a_home_that_is_known_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    terminal.have_a_home()
    assert os.environ["HOME"] == "/somewhere"


@pytest.mark.parametrize("home", ["unset"], indirect=True)
def test_mutant_a_user_without_a_home(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "have_a_home", lambda: None)
    with pytest.raises(RuntimeError, match="home directory"):
        test_commands_work_or_say_one_line(next(iter(COMMANDS)), home, tmp_path, capsys)
