"""The order of an audit's suspects."""

from __future__ import annotations

from typing import Any

from flows.audit import candidates


def row(name: str, kind: str, extra: float, *, suspect: bool = True) -> dict[str, Any]:
    return {"name": name, "suspect": suspect, "tests": [{"kind": kind, "extra": extra}]}


ROWS = [
    row("soft", "size", 0.4),
    row("softer", "size", 0.5),
    row("softest", "size", 0.6),
    row("mark", "watermark", 0.1),
    row("marks", "watermark", 0.2),
    row("none", "folder", 0.9, suspect=False),
]


def order(rows: list[Any]) -> list[str]:
    return [str(one["name"]) for one in rows]


def test_the_first_of_each_kind_lead() -> None:
    assert order(candidates.suspects(ROWS)) == ["softest", "marks", "softer", "soft", "mark"]


def test_mutant_by_what_their_parts_bring_alone_a_watermark_is_hidden() -> None:
    one_kind = [one | {"tests": [one["tests"][0] | {"kind": "any"}]} for one in ROWS]
    assert order(candidates.suspects(one_kind)) == ["softest", "softer", "soft", "marks", "mark"]
