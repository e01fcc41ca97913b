"""What a user's code prints or raises once images are read: stdout has the answer alone, and an error is one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from flows import cli
from flows.commands.shared import printing
from storage.models import user_code

FACTORY = """
import sys
def fails():
    raise ValueError("dark\\nvery dark")
def leaves():
    sys.exit("bye")
"""


@pytest.mark.parametrize(("name", "words"), [("fails", "fails: ValueError: dark"), ("leaves", "calls sys.exit(bye)")])
def test_what_a_users_code_raises_is_one_line(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mynet.py"
    path.write_text(FACTORY)
    scope: dict[str, object] = {}
    exec(compile(FACTORY, str(path), "exec"), scope)
    monkeypatch.setattr(cli, "app", lambda *args, **kwargs: scope[name]())  # type: ignore[operator]
    assert cli.invoke(["runs", "list"]) == 1
    line = 4 if name == "fails" else 6
    assert capsys.readouterr().err == f"actlas: the code of the model {words} (mynet.py:{line})\n"


def test_mutant_an_error_of_our_own_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_code, "place", lambda error: None)
    monkeypatch.setattr(cli, "app", lambda *args, **kwargs: json.loads("{"))
    with pytest.raises(json.JSONDecodeError):
        cli.invoke(["runs", "list"])


def test_what_a_model_prints_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with printing.computing():
        print("epoch 3")
        sys.stdout.write("more\n")
    printing.as_json({"answer": 1})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"answer": 1}
    assert err == "epoch 3\nmore\n"
