"""The strongest patches by unique keys, against a sort of Python tuples; what the CPU looks at first changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas import running_topk
from atlas.arrays import SIGNS, Layer
from atlas.collect import LayerReduction, Part, TooManyCandidates

UNITS, HEIGHT, WIDTH, BATCH = 2, 2, 2, 4
LAYER = Layer(name="l", units=UNITS, height=HEIGHT, width=WIDTH)
NUMBERS = np.array([0.0, -0.0, 1.0, -1.0, 1e-42, -1e-42, 3e38, -3e38, np.nan, np.inf, -np.inf], np.float32)


@st.composite
def passes(draw: st.DrawFn) -> dict[str, Any]:
    """A shard: its activations, hashes, which rows are valid, which batches never come and which come twice."""
    images = draw(st.integers(1, 18))
    picks = st.lists(st.integers(0, 10), min_size=images * 8, max_size=images * 8)
    batches = -(-images // BATCH)
    return {
        "data": NUMBERS[draw(picks)].reshape(images, UNITS, HEIGHT, WIDTH),
        "hashes": np.array(draw(st.permutations(range(images))), np.uint64) << np.uint64(58),
        "valid": np.array(draw(st.lists(st.booleans(), min_size=images, max_size=images))),
        "times": draw(st.lists(st.integers(0, 2), min_size=batches, max_size=batches)),
        "patches": draw(st.integers(1, 3)),
        "capacity": draw(st.sampled_from([1, 3, 16])),
        "block": BATCH * draw(st.integers(1, 3)),
    }


def reduced(case: dict[str, Any], reduction: type[LayerReduction] = LayerReduction) -> Part:
    images = len(case["data"])
    names = ("capacity", "block")
    made = reduction(
        LAYER,
        np.arange(images) + 100,
        case["hashes"],
        seed=1,
        patches_per_image=case["patches"],
        keep_peaks=case["patches"] == 1,
        **{name: case[name] for name in names},
    )
    for number, times in enumerate(case["times"]):
        rows = slice(number * BATCH, (number + 1) * BATCH)
        for _ in range(times):
            made.add(rows.start, torch.from_numpy(case["data"][rows]), case["valid"][rows])
    return made.finish()


def used(case: dict[str, Any]) -> list[int]:
    return [i for i in range(len(case["data"])) if case["valid"][i] and case["times"][i // BATCH]]


def best_of(case: dict[str, Any], image: int, unit: int, sign: str) -> list[tuple[float, int, int]]:
    """Return the best patches of an image: score, y, x."""
    turn = -1 if sign == "positive" else 1
    found = [
        (turn * float(v) + 0.0, *place) for place, v in np.ndenumerate(case["data"][image, unit]) if np.isfinite(v)
    ]
    return sorted(found)[: case["patches"]]


def differences(case: dict[str, Any], part: Part) -> list[tuple[int, str, str]]:
    """Return unit, sign and name of all that is not as sorted by hand."""
    wrong = []
    for unit, sign in ((unit, sign) for unit in range(UNITS) for sign in SIGNS):
        turn, top = (-1 if sign == "positive" else 1), part.top[sign]
        every = [
            (s, int(case["hashes"][i]), y, x, i + 100) for i in used(case) for s, y, x in best_of(case, i, unit, sign)
        ]
        expected = [(turn * s + 0.0, h, y, x, i) for s, h, y, x, i in sorted(every)[: case["capacity"]]]
        columns = (top.value, top.key_hash, top.y, top.x, top.image_id)
        found = [tuple(row) for row in zip(*(column[unit].tolist() for column in columns), strict=True) if row[-1] >= 0]
        checks = {"top": found == expected, "zero": not any(np.signbit(row[0]) and row[0] == 0 for row in found)}
        if expected:
            with_it = {row[-1] for row in every if turn * row[0] == expected[0][0]}
            checks["extreme"] = float(part.extreme[sign][unit]) == expected[0][0]
            checks["count"] = int(part.extreme_count[sign][unit]) == len(with_it)
        wrong += [(unit, sign, name) for name, right in checks.items() if not right]
    counted = [int((~np.isfinite(case["data"][used(case), unit])).sum()) for unit in range(UNITS)]
    return wrong + ([] if part.nonfinite.tolist() == counted else [(0, "", "nonfinite")])


class Blind(LayerReduction):
    """What a device does: it looks at no value."""

    def _add_finite(self, rows: slice, flat: torch.Tensor) -> bool:
        return False


def content(part: Part) -> list[bytes]:
    """Return all bytes of a part."""
    tops = [getattr(part.top[sign], name) for sign in SIGNS for name in ("value", "image_id", "key_hash", "y", "x")]
    peaks = [] if part.peaks is None else [part.peaks.value, part.peaks.y, part.peaks.x]
    samples = [part.samples.activations, part.samples.image_id, part.samples.y, part.samples.x]
    counts = [of[sign] for of in (part.extreme, part.extreme_count) for sign in SIGNS]
    return [array.tobytes() for array in (*tops, *peaks, *samples, *counts, part.nonfinite)]


@given(case=passes())
@settings(max_examples=80, deadline=None)
def test_the_strongest_are_those_of_a_sort_whether_values_are_looked_at_or_not(case: dict[str, Any]) -> None:
    part = reduced(case)
    assert differences(case, part) == []
    assert content(reduced(case, Blind)) == content(part)


@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(max_examples=80, deadline=None)
def test_keys_are_in_the_order_of_the_numbers_and_give_them_back(values: list[float]) -> None:
    numbers = torch.tensor(values, dtype=torch.float32)
    for sign, turn in (("positive", -1), ("negative", 1)):
        keys = running_topk._keys(numbers[:, None, None], torch.arange(len(values))[:, None], sign).reshape(-1)
        assert keys.argsort().tolist() == sorted(range(len(values)), key=lambda i: (turn * values[i] + 0.0, i))
        assert running_topk.values_of(keys, sign).tolist() == numbers.tolist()
        assert running_topk.order_of(keys).tolist() == list(range(len(values)))


def test_more_candidates_than_keys_tell_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_topk, "ORDER_BITS", 3)
    ids = np.arange(8)
    with pytest.raises(TooManyCandidates, match="8 images of 1 patches"):
        LayerReduction(LAYER, ids, ids.astype(np.uint64), seed=0)
    LayerReduction(LAYER, ids[:7], ids[:7].astype(np.uint64), seed=0)


def tied() -> dict[str, Any]:
    data = np.tile(np.array([1.0, -0.0, 0.0, np.nan], np.float32).reshape(1, 1, 2, 2), (12, UNITS, 1, 1))
    hashes = np.arange(12, dtype=np.uint64)[::-1].copy()
    names = {"times": [1, 1, 1], "patches": 2, "capacity": 3, "block": 4}
    return {"data": data, "hashes": hashes, "valid": np.ones(12, bool), **names}


@pytest.mark.parametrize("fault", ["order", "zero", "sign", "repeat"])
def test_mutant_of_keys_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, case = running_topk._keys, tied()
    assert differences(case, reduced(case)) == []
    if fault == "repeat":
        case["times"] = [2, 2, 2]
        monkeypatch.setattr(LayerReduction, "_add_nonfinite", _adding_up(LayerReduction._add_nonfinite))
    else:
        faults: dict[str, Any] = {
            "order": lambda value, order, sign: keys(value, order // 2, sign),
            "zero": lambda value, order, sign: keys(value, order, sign) + (torch.signbit(value) & (value == 0)),
            "sign": lambda value, order, sign: keys(-value, order, sign),
        }
        monkeypatch.setattr(running_topk, "_keys", faults[fault])
    assert differences(case, reduced(case))


def _adding_up(add: Any) -> Any:
    def counting(self: LayerReduction, rows: slice, flat: torch.Tensor) -> None:
        before = self._buffer.wrong[rows].clone()
        add(self, rows, flat)
        self._buffer.wrong[rows] += before

    return counting
