"""Keys and sealed records: equal values give equal bytes, and no bit changes unnoticed."""

from __future__ import annotations

import enum
import json
import math
import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import Damaged, Newer
from storage.store import records

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


class Colour(enum.StrEnum):
    RED = "red"


def test_a_key_is_what_it_has_always_been() -> None:
    """A change here makes every store recompute everything."""
    key = records.stage_key("collect", 3, {"listing": "ab"}, {"seed": 0, "scale": 0.5, "grids": (10, 20), "x": None})
    text = (
        '{"asked":{"grids":[10,20],"scale":0.5,"seed":0,"x":null},"code":3,"inputs":{"listing":"ab"},"stage":"collect"}'
    )
    assert key == records.sha256(text.encode())[:32] == "a6cd0699f7e006a8707bd256cf7c9288"
    assert set(key) <= set(string.hexdigits.lower())


@given(st.dictionaries(st.text(max_size=4), PLAIN, max_size=5), st.randoms())
@settings(max_examples=100, deadline=None)
def test_order_does_not_matter_and_values_come_back(record: dict[str, Any], random: Any) -> None:
    items = list(record.items())
    random.shuffle(items)
    assert records.canonical(record) == records.canonical(dict(items))
    assert json.loads(records.canonical(record)) == record


@given(st.dictionaries(st.text(max_size=4), PLAIN, max_size=5), st.dictionaries(st.text(max_size=4), PLAIN, max_size=5))
@settings(max_examples=100, deadline=None)
def test_only_equal_records_share_bytes(one: dict[str, Any], other: dict[str, Any]) -> None:
    if records.canonical(one) == records.canonical(other):
        assert one == other


def test_small_changes_change_the_key() -> None:
    base = records.stage_key("a", 1, {"x": "1"}, {"y": 1})
    others = [
        records.stage_key("b", 1, {"x": "1"}, {"y": 1}),
        records.stage_key("a", 2, {"x": "1"}, {"y": 1}),
        records.stage_key("a", 1, {"x": "2"}, {"y": 1}),
        records.stage_key("a", 1, {"x": "1"}, {"y": math.nextafter(1.0, 2)}),
        records.stage_key("a", 1, {"x": "1", "y": 1}, {}),
        records.stage_key("a", 1, {"x": "1"}, {"y": "1"}),
        records.stage_key("a", 1, {"x": "1"}, {"y": True}),
    ]
    assert len({base, *others}) == 8
    assert records.canonical({"z": -0.0}) == records.canonical({"z": 0.0})


@pytest.mark.parametrize(
    "value", [{1, 2}, b"x", np.float64(1), np.int64(1), np.float32(1), Colour.RED, {1: 2}, object(), range(3), 1j]
)
def test_unknown_types_are_refused_with_their_place(value: object) -> None:
    with pytest.raises(TypeError, match=r"value\.a\[1\]"):
        records.canonical({"a": [0, value]})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        records.canonical({"a": value})


def flips_unnoticed(data: bytes) -> list[int]:
    """Flip every single bit; return those whose record still opens."""
    passed = []
    for place in range(len(data) * 8):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        try:
            records.unseal(bytes(changed), "record")
        except Damaged:
            continue
        passed.append(place)
    return passed


RECORD = {"actlas": 1, "name": "run", "about": {"x": [1, 2.5, None, "ä"]}, "n": 12}


def test_no_flipped_bit_and_no_cut_goes_unnoticed() -> None:
    data = records.seal(RECORD)
    opened = records.unseal(data, "record")
    assert {**RECORD, "sha256": opened["sha256"]} == opened
    assert flips_unnoticed(data) == []
    for length in range(len(data)):
        with pytest.raises(Damaged, match="record"):
            records.unseal(data[:length], "record")


def test_a_newer_record_is_no_damage() -> None:
    assert records.unseal(records.seal({**RECORD, "actlas": records.FORMAT}), "record")["name"] == "run"
    with pytest.raises(Newer, match=r"record has format 3, this version .* reads up to 2; install a newer"):
        records.unseal(records.seal({**RECORD, "actlas": records.FORMAT + 1}), "record")
    for number in (0, None, "2", True, 2.0):
        with pytest.raises(Damaged, match="format"):
            records.unseal(records.seal({**RECORD, "actlas": number}), "record")


def test_mutant_record_that_is_only_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "unseal", lambda data, name: _parse(data))
    assert len(flips_unnoticed(records.seal(RECORD))) > 100


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise Damaged("no JSON") from None
