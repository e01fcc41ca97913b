"""The laws of selection and merge, against a brute-force sort of Python tuples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas import topk
from atlas.arrays import SIGNS, TopK

K = 4
VALUES = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 6.0, float("nan"), float("inf"), float("-inf")])
Candidate = tuple[float, int, int, int]  # value, image, y, x


@st.composite
def candidate_lists(draw: st.DrawFn) -> list[Candidate]:
    """Candidates of one unit: at most one per (image, y, x), so many ties that they decide."""
    places = draw(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1), st.integers(0, 1)), max_size=20, unique=True)
    )
    return [(draw(VALUES), *place) for place in sorted(places)]


def key_hash(image: int) -> int:
    return (image * 2654435761) % 7 * 10 + image  # orders the images otherwise than their ids do


def brute_force(candidates: list[Candidate], sign: str) -> list[Candidate]:
    finite = [(value + 0.0, *rest) for value, *rest in candidates if np.isfinite(value)]
    turn = -1 if sign == "positive" else 1
    return sorted(set(finite), key=lambda c: (turn * c[0], key_hash(c[1]), c[2], c[3]))[:K]


def selected(candidates: list[Candidate], sign: str) -> TopK:
    columns = np.array(candidates, dtype=np.float64).reshape(-1, 4)
    images = columns[:, 1].astype(np.int64)
    return topk.select(
        columns[:, :1].astype(np.float32),
        images,
        np.array([key_hash(int(i)) for i in images], dtype=np.uint64),
        columns[:, 2:3].astype(np.int32),
        columns[:, 3:4].astype(np.int32),
        sign,
        K,
    )


def as_list(top: TopK) -> list[Candidate]:
    columns = zip(top.value[0], top.image_id[0], top.y[0], top.x[0], strict=True)
    return [(float(v), int(i), int(y), int(x)) for v, i, y, x in columns if i >= 0]


def same(a: TopK, b: TopK) -> bool:
    return all(getattr(a, f).tobytes() == getattr(b, f).tobytes() for f in topk.FIELDS)


@pytest.mark.parametrize("sign", SIGNS)
@given(candidates=candidate_lists())
@settings(max_examples=300, deadline=None)
def test_select_is_the_brute_force_sort(candidates: list[Candidate], sign: str) -> None:
    assert as_list(selected(candidates, sign)) == brute_force(candidates, sign)


@pytest.mark.parametrize("sign", SIGNS)
@given(candidates=candidate_lists(), cuts=st.tuples(st.integers(0, 20), st.integers(0, 20)), overlap=st.integers(0, 5))
@settings(max_examples=300, deadline=None)
def test_merge_of_any_sharding_is_the_whole(
    candidates: list[Candidate], cuts: tuple[int, int], overlap: int, sign: str
) -> None:
    low, high = sorted(cuts)
    parts = [candidates[:low], candidates[max(0, low - overlap) : high], candidates[high:]]
    merged = topk.merge([selected(part, sign) for part in parts], sign, K)
    assert same(merged, selected(candidates, sign))


@pytest.mark.parametrize("sign", SIGNS)
@given(a=candidate_lists(), b=candidate_lists(), c=candidate_lists())
@settings(max_examples=200, deadline=None)
def test_laws_of_merge(a: list[Candidate], b: list[Candidate], c: list[Candidate], sign: str) -> None:
    # A patch has one value: candidates at the same place agree across the three parts.
    values: dict[tuple[int, int, int], float] = {}
    for part in (a, b, c):
        for index, (value, *place) in enumerate(part):
            part[index] = (values.setdefault(tuple(place), value), *place)  # type: ignore[arg-type]
    pa, pb, pc = (selected(part, sign) for part in (a, b, c))

    def merge(*parts: TopK) -> TopK:
        return topk.merge(parts, sign, K)

    assert same(merge(merge(pa, pb), pc), merge(pa, merge(pb, pc)))
    assert same(merge(pa, pb), merge(pb, pa))
    assert same(merge(pa, pa), pa)
    assert same(merge(pa, topk.empty(1, sign, K)), pa)


def test_more_asked_for_than_there_is() -> None:
    top = selected([(1.0, 0, 0, 0)], "positive")
    assert top.image_id.tolist() == [[0, -1, -1, -1]]
    assert top.value[0, 1:].tolist() == [-np.inf] * 3


def test_negative_zero_is_zero() -> None:
    top = selected([(-0.0, 3, 0, 0), (0.0, 1, 0, 0)], "negative")
    assert not np.signbit(top.value[0, :2]).any()


@pytest.mark.parametrize("fault", ["unstable", "keeps_repeats"])
def test_mutant_merge_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The brute force above notices a merge that breaks ties otherwise, and one that counts a patch twice."""
    candidates: list[Candidate] = [(1.0, image, 0, 0) for image in range(8)]
    if fault == "unstable":

        def careless(keys: tuple[Any, ...], axis: int = -1) -> Any:
            return np.argsort(keys[-1], axis=axis, kind="stable")

        monkeypatch.setattr(topk.np, "lexsort", careless)
    else:
        monkeypatch.setattr(topk, "_repeats", lambda ordered: np.zeros(ordered.value.shape, bool))
    parts = [selected(candidates[4:], "positive"), selected(candidates[:4], "positive")] * 2
    assert as_list(topk.merge(parts, "positive", K)) != brute_force(candidates, "positive")
