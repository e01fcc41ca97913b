"""Sums of targets and cells of an atlas, as one writes them."""

from __future__ import annotations

import pytest

from flows.drawing import targets
from flows.drawing.targets import Target, parse_sum
from storage.errors import NotFound, UsageError

CLASSES = ("tabby", "crane", "go-kart", "T-shirt", "hen")
UNIT_3, UNIT_7 = (Target(kind="unit", layer="a.b", index=number) for number in (3, 7))


def read(text: str) -> list[tuple[float, str]]:
    return [(weight, str(target)) for weight, target in parse_sum(text, CLASSES)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.b:3", [(1, "a.b:3")]),
        ("a.b:3+a.b:7", [(1, "a.b:3"), (1, "a.b:7")]),
        ("0.5*a.b:3 - 2*c@1:7@1,2", [(0.5, "a.b:3"), (-2, "c@1:7@1,2")]),
        ("-.5*a:3", [(-0.5, "a:3")]),
        ("class:go-kart", [(1, "class:go-kart")]),
        ("class:T-shirt-class:hen", [(1, "class:T-shirt"), (-1, "class:hen")]),
        ("class:2+.25*prob:hen", [(1, "class:go-kart"), (0.25, "prob:hen")]),
        ("3*class:hen-a:1", [(3, "class:hen-a:1")]),
        ("my-layer:3", [(1, "my-layer:3")]),
        ("a@1@10:3,4-a:2", [(1, "a@1@10:3,4"), (-1, "a:2")]),
        ("2*a", [(2, "a")]),
        ("class:hen + class:go-kart", [(1, "class:hen"), (1, "class:go-kart")]),
        ("class:T-shirt - .5*prob:hen", [(1, "class:T-shirt"), (-0.5, "prob:hen")]),
    ],
)
def test_sums_are_read(text: str, parts: list[tuple[float, str]]) -> None:
    if text == "3*class:hen-a:1":  # a unit is subtracted from a class only with a space before the minus
        with pytest.raises(NotFound, match="no class 'hen-a:1'; nearest: hen"):
            read(text)
        assert read("3*class:hen -a:1") == [(3, "class:hen"), (-1, "a:1")]
        return
    assert read(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.b+c-d", [(1, "a.b"), (1, "c-d")]),
        ("a.b - 2*c-d", [(1, "a.b"), (-2, "c-d")]),
        ("a.b:3+c-d", [(1, "a.b:3"), (1, "c-d")]),
        ("a.b+c-d:1@2,3", [(1, "a.b"), (1, "c-d:1@2,3")]),
        ("c-d", [(1, "c-d")]),
        ("a.b+e", [(1, "a.b+e")]),
    ],
)
def test_whole_layers_are_told_by_the_models_names(text: str, parts: list[tuple[float, str]]) -> None:
    assert [(weight, str(target)) for weight, target in parse_sum(text, (), {"a.b", "c-d"})] == parts


def test_parts_are_targets() -> None:
    assert parse_sum("a.b:3-2*a.b:7") == [(1.0, UNIT_3), (-2.0, UNIT_7)]
    cell = Target(kind="cell", layer="a", index=20, position=(3, 14))
    assert parse_sum("a@20:3,14") == [(1.0, cell)]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("a:3+", UsageError, r"'a:3\+' is not a target"),
        ("class:nope-class:hen", NotFound, "no class 'nope'"),
        ("", UsageError, "'' is not a target; write LAYER:UNIT.* or a sum of such"),
        ("a:3+b:x", UsageError, r"'a:3\+b:x' is not a target"),
    ],
)
def test_what_is_no_sum_is_said(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        parse_sum(text, CLASSES)


def test_mutant_dropping_the_sign_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_weight", lambda part: float((part["weight"] or "1*")[:-1]))
    assert parse_sum("a.b:3-2*a.b:7") != [(1.0, UNIT_3), (-2.0, UNIT_7)]
