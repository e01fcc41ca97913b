"""`python -m flows.viewer.build`: what it says and returns where npm is there, and where it is not."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from flows.viewer import build

NPM = """#!/bin/sh
echo "$@" >> "{log}"
if [ "$1" = "{step}" ] || [ "$3" = "{step}" ]; then echo "npm error code ENOTFOUND"; exit 1; fi
"""
"""An npm that writes down what it is called with, and fails at one step."""

LOCK = json.dumps({"packages": {"": {}, "node_modules/prettier": {"version": "3.0.0"}}})


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for the page's sources, whose packages are not installed."""
    (tmp_path / "package-lock.json").write_text(LOCK)
    monkeypatch.setattr(build, "WEB", tmp_path)
    monkeypatch.delenv("ACTLAS_BROWSER", raising=False)
    return tmp_path


def npm(web: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str = "nothing") -> Path:
    """Put an npm in place; return the file of its calls."""
    log, program = web / "calls", web / "npm"
    program.write_text(NPM.format(log=log, step=fails_at))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(build, "find_npm", lambda: [str(program)])
    return log


def install(web: Path, version: str = "3.0.0") -> None:
    """Leave the record that npm leaves once it has installed the packages."""
    record = web / "node_modules" / ".package-lock.json"
    record.parent.mkdir()
    record.write_text(LOCK.replace("3.0.0", version))


@pytest.mark.parametrize(("check", "scripts"), [("lint", ["lint", "check"]), ("test", ["test"])])
def test_a_check_runs_its_scripts(
    web: Path, monkeypatch: pytest.MonkeyPatch, check: str, scripts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    log = npm(web, monkeypatch)
    install(web)
    assert build.main([check]) == 0
    assert log.read_text().split("\n")[:-1] == [f"run --silent {script}" for script in scripts]
    assert capsys.readouterr().out == f"the page of the viewer passes its {check}\n"


@pytest.mark.parametrize("version", ["", "2.9.9"], ids=["none", "another version"])
def test_packages_are_installed_first(web: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    log = npm(web, monkeypatch)
    if version:
        install(web, version)
    assert build.main(["test"]) == 0
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["ci", "run"]


@pytest.mark.parametrize(("check", "script"), [("lint", "lint"), ("lint", "check"), ("test", "test")])
def test_mutant_a_failing_script_fails_the_check(
    web: Path, monkeypatch: pytest.MonkeyPatch, check: str, script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    npm(web, monkeypatch, fails_at=script)
    install(web)
    assert build.main([check]) == 1
    assert f"npm run {script} failed" in capsys.readouterr().err


@pytest.mark.parametrize(("browser", "code"), [("", 0), ("required", 1)])
@pytest.mark.parametrize("there", [False, True], ids=["no npm", "no registry"])
def test_without_npm_a_line_says_so(
    web: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    browser: str,
    code: int,
    there: bool,
) -> None:
    if there:
        npm(web, monkeypatch, fails_at="ci")
    else:
        monkeypatch.setattr(build, "find_npm", lambda: None)
    monkeypatch.setenv("ACTLAS_BROWSER", browser)
    assert build.main(["lint"]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "the sources of the page are not checked (lint)" in lines[0]


def test_an_unknown_check_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["tidy"]) == 2
    assert capsys.readouterr().err == "actlas: no such check of the page: tidy; there are lint, test\n"


def test_building_without_npm_is_no_error(
    web: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "find_npm", lambda: None)
    assert build.main() == 0
    assert "the page of the viewer is not built: there is no npm" in capsys.readouterr().err
