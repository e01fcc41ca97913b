"""What is tried again: what may pass, and nothing else."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from support import corpus

from flows.pipeline import retry
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.stages import image_listing
from flows.stages.shared import reading
from storage.errors import BadWeights, Changed, NoSpace, Unreadable


class Failing:
    """A function that fails some times, and then does not."""

    def __init__(self, error: Exception, times: int = 1) -> None:
        self.error, self.left, self.calls = error, times, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "made"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSE", 0.0)


@pytest.mark.parametrize(
    "error",
    [Unreadable("x"), TimeoutError(), ConnectionResetError(), OSError(errno.EIO, "x"), OSError(errno.ESTALE, "")],
)
def test_what_may_pass_is_tried_three_times(error: Exception) -> None:
    assert retry.retry(Failing(error, 2)) == "made"
    stubborn = Failing(error, 3)
    with pytest.raises(type(error)):
        retry.retry(stubborn)
    assert stubborn.calls == 3


@pytest.mark.parametrize(
    "error",
    [Changed("x"), BadWeights("x"), NoSpace("x", 1, 0), ValueError(), OSError(errno.ENOSPC, ""), FileNotFoundError()],
)
def test_what_cannot_pass_is_tried_once(error: Exception) -> None:
    once = Failing(error)
    with pytest.raises(type(error)):
        retry.retry(once)
    assert once.calls == 1


@pytest.mark.parametrize("place", ["opening", "listing", "labels"])
def test_storage_that_is_away_for_a_moment_costs_no_run(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = corpus.config(corpus.write_images(tmp_path / "images", 4), tmp_path / "store", until="listing")
    module, name = {
        "opening": (reading, "source_of"),
        "listing": (image_listing, "list_images"),
        "labels": (image_listing, "list_labels"),
    }[place]
    works, fails = getattr(module, name), Failing(OSError(errno.ESTALE, "stale file handle"), 2)

    def at_first(*arguments: object) -> object:
        fails()
        return works(*arguments)

    at_first.cache_clear = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr(module, name, at_first)
    assert pipeline.run(config, Inline()).version == 1
    assert fails.calls >= 3
