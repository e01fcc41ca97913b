"""Any terminal and log takes what is printed: what its encoding lacks is replaced, and nothing is lost."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from flows.commands import printing, terminal

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
