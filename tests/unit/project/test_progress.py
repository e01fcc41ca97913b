"""Progress says where a stage is, and that it is still at it."""

from __future__ import annotations

import io
import time

import pytest

from flows import progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_say_how_far_how_fast_and_how_long() -> None:
    shown, clock = io.StringIO(), Clock()
    with progress.Reporter(shown, clock).bar("collect", 100, "images") as advance:
        advance(0)
        clock.now = 6.0
        advance(0)
        clock.now = 12.0
        advance(60)
        clock.now = 13.0
        advance(70)
        clock.now = 20.0
        advance(100)
    assert shown.getvalue().splitlines() == [
        "  collect: 0 of 100 images, 6 s so far",
        "  collect: 60 of 100 images, 5.0 images/s, 8 s left",
        "  collect: 100 images in 20.0 s (5.0 images/s)",
    ]


@pytest.mark.parametrize(
    ("done", "seconds", "words"),
    [(3, 60.0, "20 s each"), (3, 1.0, "3.0 icons/s"), (1, 2.5, "2 s each"), (0, 5.0, "0.0 icons/s")],
)
def test_what_is_slow_is_told_by_the_piece(done: int, seconds: float, words: str) -> None:
    assert progress.rate(done, seconds, "icons") == words


def test_a_silent_stage_says_that_it_is_still_at_it() -> None:
    shown = io.StringIO()
    reporter = progress.Reporter(shown)
    reporter.patience = 0.05
    with reporter.bar("layout", 1, "layouts"):
        time.sleep(0.4)
    assert shown.getvalue().count("0 of 1 layouts") >= 2
    before = shown.getvalue()
    time.sleep(0.15)
    assert shown.getvalue() == before
