"""Any terminal and log takes what is printed: what its encoding lacks is replaced, and nothing is lost."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows import progress
from flows.commands.shared import printing, terminal

TEXT = "a – b × c … ü 漢 \udcff"


def written(monkeypatch: pytest.MonkeyPatch, encoding: str, value: Any, *, as_json: bool = False) -> bytes:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    terminal.write_anything()
    if as_json:
        printing.as_json(value)
    else:
        print(value)
    sys.stdout.flush()
    return raw.getvalue()


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", rb"a - b x c ... \xfc \u6f22 \udcff"),
        ("latin-1", b"a - b \xd7 c ... \xfc \\u6f22 \\udcff"),
        ("utf-8", "a – b × c … ü 漢 ".encode() + rb"\udcff"),
    ],
)
def test_text_is_written_in_any_encoding(encoding: str, expected: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, encoding, TEXT) == expected + b"\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_keeps_every_character(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"label": "ü 漢 –", "score": 1.5}
    assert json.loads(written(monkeypatch, encoding, value, as_json=True).decode(encoding)) == value


def test_mutant_without_the_handler_an_ascii_log_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "write_anything", lambda: None)
    with pytest.raises(UnicodeEncodeError):
        written(monkeypatch, "ascii", TEXT)


STREAMS = """
import os
from flows import cli
from flows.commands.shared import printing
def command(*_, **__):
    assert os.open("/dev/null", os.O_RDONLY) > 2  # no file of ours is given the number of a closed stream
    printing.as_json({"a": 1})
    printing.say("a remark")
    return 0
cli.app = command
cli.main(["runs", "list"])
"""


@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [
        ("", 0, "a remark"),
        (">&-", 0, "a remark"),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        (">/dev/full", 1, "No space left on device"),
    ],
)
def test_streams_that_take_nothing_end_no_command_with_a_traceback(streams: str, code: int, said: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {streams}', sys.executable, STREAMS],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert (done.returncode, "Traceback" in done.stderr, "ignored" in done.stderr) == (code, False, False), done.stderr
    assert said in done.stderr


def test_a_log_that_nobody_takes_ends_no_run() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    progress.Reporter(Closed()).say("collect")


INTERRUPTED = """
import builtins, sys
find = builtins.__import__
def interrupted(name, *rest):
    if name == sys.argv[1]:
        raise KeyboardInterrupt
    return find(name, *rest)
builtins.__import__ = interrupted
import flows.cli
"""


def test_an_interrupt_while_the_command_line_is_imported_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "typer"], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert (done.returncode, done.stderr) == (130, "actlas: interrupted; nothing was written\n")
