"""What the viewer keeps at hand: made once, without anybody waiting for what somebody else asks for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flows.viewer.answers.open_runs import OpenRuns, OpenVersion
from storage.memory_cache import MemoryCache


def test_what_is_kept_is_made_once_however_many_ask() -> None:
    version, made, start = OpenVersion(None), [], threading.Barrier(8)  # type: ignore[arg-type]

    def ask(_: int) -> Any:
        start.wait()
        return version.keep(("a",), lambda: made.append(1) or "made")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {"made"}
    assert made == [1]


def waits(version: Any) -> bool:
    """Tell whether one who asks for a key waits while another is made."""
    going, done = threading.Event(), threading.Event()

    def slow() -> str:
        going.set()
        done.wait(20)
        return "slow"

    with ThreadPoolExecutor(2) as pool:
        pool.submit(version.keep, ("slow",), slow)
        going.wait(20)
        quick = pool.submit(version.keep, ("quick",), lambda: "quick")
        threading.Event().wait(0.2)
        waited = not quick.done()
        done.set()
    return waited


def test_nobody_waits_for_another_key() -> None:
    assert not waits(OpenVersion(None))  # type: ignore[arg-type]


def test_mutant_one_lock_for_all() -> None:
    class Careless(OpenVersion):
        def keep(self, key: Any, make: Any) -> Any:
            with self._lock:
                return super().keep(key, make)

    assert waits(Careless(None))  # type: ignore[arg-type]


def test_what_fails_leaves_nothing_behind_and_is_tried_again() -> None:
    version = OpenVersion(None)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(KeyError):
            version.keep(("bad",), lambda: {}["none"])
    assert version.keep(("bad",), lambda: 3) == 3
    assert version._pending == {}


def test_the_oldest_go_where_there_is_too_much() -> None:
    runs, made = OpenRuns("", 3000), []
    version = OpenVersion(SimpleNamespace(cache=MemoryCache(0)), runs._trim)  # type: ignore[arg-type]
    runs._open["small", 1] = version
    for name in ("a", "b", "a", "c", "d", "a", "b"):
        version.keep((name,), lambda name=name: made.append(name) or np.zeros(1000, np.uint8))
    assert "".join(made) == "abcdb"
