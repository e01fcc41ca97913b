"""What is cached of all versions together stays within one limit, counted in bytes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flows.viewer.answers import moved, open_runs, sizes
from flows.viewer.answers.open_runs import OpenRuns, OpenVersion
from storage.memory_cache import MemoryCache

LIMIT = 100_000


def opened(monkeypatch: pytest.MonkeyPatch, versions: int) -> tuple[OpenRuns, list[OpenVersion]]:
    """Return runs with some versions open, none of which is read from a store."""
    runs = OpenRuns("", LIMIT)
    stored: Any = SimpleNamespace(version=lambda name, number: SimpleNamespace(sha256="a", number=number, name=name))
    monkeypatch.setattr(open_runs, "open_store", lambda store: stored)
    monkeypatch.setattr(open_runs, "Run", lambda store, v: SimpleNamespace(version=v, cache=MemoryCache(LIMIT)))
    return runs, [runs._open_version("run", number) for number in range(versions)]


def test_all_versions_share_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, versions = opened(monkeypatch, 4)
    for turn in range(30):
        version = versions[turn % 4]
        version.keep(("array", turn), lambda: np.zeros(1000))
        version.recent(("table", turn), lambda: pa.table({"x": np.zeros(500)}))
        version.run.cache.get(("cells", turn), lambda: np.zeros(700), lambda array: array.nbytes)
        version.keep(("bytes", turn), lambda: bytes(3000))
        assert runs.held() <= LIMIT
    assert runs.held() > LIMIT / 2


def test_mutant_a_version_that_tells_nobody_goes_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenRuns, "_trim", lambda self: None)
    runs, versions = opened(monkeypatch, 4)
    for turn in range(30):
        versions[turn % 4].keep(("array", turn), lambda: np.zeros(1000))
    assert runs.held() > LIMIT


def test_the_value_in_use_is_kept_and_all_others_go(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, (first, second) = opened(monkeypatch, 2)
    first.keep(("old",), lambda: np.zeros(1000))
    large = second.keep(("large",), lambda: np.zeros(LIMIT))
    assert second.keep(("large",), lambda: np.ones(1)) is large
    assert runs.held() == large.nbytes
    second.keep(("next",), lambda: np.zeros(10))
    assert runs.held() == 80


def test_sizes_count_what_values_hold() -> None:
    array = np.zeros(1000)
    assert sizes.nbytes(array) == 8000
    assert sizes.nbytes(pa.table({"x": array})) == 8000
    assert 8000 < sizes.nbytes([array]) < 8200
    assert 10_000 < sizes.nbytes({"a": bytes(10_000)}) < 10_400
    assert sizes.nbytes(SimpleNamespace(a=array, b=(array, array))) > 24_000
    sizes.release()


class Busy:
    """A value during whose count another thread adds to the dictionary that holds it."""

    holder: dict[Any, Any]

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            Busy.holder[len(Busy.holder)] = 1
        return object.__getattribute__(self, name)


def test_a_value_that_grows_meanwhile_is_counted() -> None:
    Busy.holder = {"a": Busy(), "b": b"12"}
    assert sizes.nbytes(Busy.holder) > 0
    with pytest.raises(RuntimeError, match="changed size"):  # as it was counted before
        sum(sizes.nbytes(item) for item in Busy.holder.values())


class Read:
    """What a comparison has read of both versions."""


def lives_on(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Read], Any]) -> bool:
    """Tell whether what a comparison has read still takes memory when that is given back."""
    read: list[weakref.ref[Read]] = []
    lives: list[bool] = []

    def measure(*_: Any, **settings: Any) -> list[list[Read]]:
        step = Read()
        read.append(weakref.ref(step))
        return [[step]]

    monkeypatch.setattr("flows.comparing.measure.measure", measure)
    monkeypatch.setattr("flows.comparing.datasets.pair.share_images", lambda *runs: True)
    monkeypatch.setattr(moved, "_moved", lambda step, since: answer(step))
    monkeypatch.setattr(sizes, "release", lambda: lives.append(read[0]() is not None))
    run: Any = SimpleNamespace(name="run", number=1, version=None, store=SimpleNamespace(root="store"))
    moved._measure(OpenVersion(run), run, "layer", "run@1-0", False)
    return lives == [True]


def test_a_comparison_gives_back_the_memory_of_what_it_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not lives_on(monkeypatch, lambda step: {})


def test_mutant_an_answer_that_holds_what_was_read_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lives_on(monkeypatch, lambda step: {"step": step})


def test_a_missing_file_is_no_store(tmp_path: Path) -> None:
    assert OpenRuns(str(tmp_path)).held() == 0
