"""The worker's time limits: loading has its own, and an answer's begins once the model is loaded."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flows.viewer.answers.errors import Busy
from flows.viewer.model import child, worker
from flows.viewer.model.worker import ModelWorker

Make = Callable[..., ModelWorker]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(worker, "START", multiprocessing.get_context("fork"))  # nothing is imported anew
    workers: list[ModelWorker] = []

    def make(serve: Callable[..., None], seconds: float, **limits: float) -> ModelWorker:
        workers.append(ModelWorker("", seconds, serve=serve, **limits))
        return workers[-1]

    yield make
    for one in workers:
        one.close()


def slow_to_load(store: str, pipe: Any) -> None:
    """Load for longer than an answer may take, once."""
    loaded = False
    while True:
        kind, *_ = pipe.recv()
        time.sleep(0 if loaded else 0.6)
        loaded = True
        pipe.send((child.ANSWERING, None))
        time.sleep({"facets": 30}.get(kind, 0))
        pipe.send((True, kind))


def silent(store: str, pipe: Any) -> None:
    """Begin a question and never load."""
    pipe.recv()
    time.sleep(30)


def test_loading_does_not_count_as_answering(made: Make) -> None:
    asked = made(slow_to_load, 0.3)
    assert asked.ask("explain", {}, b"") == "explain"
    assert asked.ask("load", {}, b"") == "load"


def test_mutant_one_limit_for_both_never_answers(made: Make) -> None:
    asked = made(slow_to_load, 0.3, loading=0.3)
    for _ in range(2):
        with pytest.raises(Busy, match=r"loading the model took more than 0.3 s"):
            asked.ask("explain", {}, b"")


def test_a_question_that_takes_too_long_is_named_and_the_next_loads_anew(made: Make) -> None:
    asked = made(slow_to_load, 0.3)
    with pytest.raises(
        Busy, match=r"drawing the facets took more than 0.3 s; `actlas view --time-limit SECONDS` allows more"
    ):
        asked.ask("facets", {}, b"")
    assert asked.ask("links", {}, b"") == "links"


def test_loading_that_takes_too_long_is_ended(made: Make) -> None:
    with pytest.raises(Busy, match=r"loading the model took more than 0.2 s"):
        made(silent, 60, loading=0.2).ask("load", {}, b"")


def test_a_client_that_leaves_does_not_stop_the_loading(made: Make) -> None:
    asked = made(slow_to_load, 60, grace=0.0)
    left = threading.Event()
    threading.Timer(0.1, left.set).start()
    asked.ask("explain", {}, b"", left)
    process = asked._child[0] if asked._child else None
    assert process is not None
    assert process.is_alive()
    assert asked.ask("explain", {}, b"") == "explain"


def test_every_kind_of_request_has_a_title() -> None:
    assert set(child.handlers()) == set(worker.TITLES)
