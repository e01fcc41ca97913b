"""Show progress on stderr, with rate and time left: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TextIO

from storage import masking


class Bar(Protocol):
    """Report how much of a stage is done."""

    def __call__(self, done: int) -> None: ...


class Reporter:
    """Print progress as plain lines, for logs and tests; the base of the terminal's bars."""

    every = 5.0  # seconds between two lines of one stage
    patience = 20.0  # seconds without progress after which a stage prints a line

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream or sys.stderr, clock

    def say(self, text: str) -> None:
        with suppress(OSError):  # a log that nobody takes ends no run
            print(masking.masked(text), file=self.stream, flush=True)

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        """Report a stage of `total` units; the value given to the bar is the number done so far."""
        started = last = self.clock()
        reached, finished = 0, threading.Event()

        def print_line() -> None:
            nonlocal last
            last = self.clock()
            self.say(f"  {title}: {reached} of {total} {unit}, {pace(reached, total, last - started, unit)}")

        def advance(done: int) -> None:
            nonlocal reached
            reached = done
            if self.clock() - last >= self.every and done < total:
                print_line()

        def print_when_silent() -> None:
            while not finished.wait(self.patience):
                if self.clock() - last >= self.patience:
                    print_line()

        threading.Thread(target=print_when_silent, daemon=True).start()
        try:
            yield advance
        finally:
            finished.set()
        self._finish(title, total, unit, self.clock() - started)

    def _finish(self, title: str, total: int, unit: str, seconds: float) -> None:
        speed = f" ({rate(total, seconds, unit)})" if seconds > 1 else ""
        self.say(f"  {title}: {total} {unit} in {seconds:.1f} s{speed}")


class Quiet(Reporter):
    """Say nothing."""

    def say(self, text: str) -> None:
        return


class Terminal(Reporter):
    """Draw bars with rich, redrawn in place."""

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn(f"{unit}  {{task.fields[rate]}}"),
            TimeRemainingColumn(compact=True),
        )
        started = self.clock()
        with Progress(*columns, console=Console(file=self.stream), transient=True) as progress:
            task = progress.add_task(title, total=total, rate="")

            def advance(done: int) -> None:
                progress.update(task, completed=done, rate=rate(done, self.clock() - started, unit))

            yield advance
        self._finish(title, total, unit, self.clock() - started)


def rate(done: int, seconds: float, unit: str) -> str:
    """Format the rate: units per second, or seconds per unit when slow."""
    if done and seconds > 2 * done:
        return f"{seconds / done:.0f} s each"
    return f"{done / max(seconds, 1e-9):.1f} {unit}/s"


def pace(done: int, total: int, seconds: float, unit: str) -> str:
    """Format the rate and the time left, or the time so far while nothing is done."""
    if not done:
        return f"{seconds:.0f} s so far"
    return f"{rate(done, seconds, unit)}, {left(done, total, seconds)} left"


def left(done: int, total: int, seconds: float) -> str:
    """Format the time left at the rate so far."""
    remaining = (total - done) * seconds / done
    return f"{remaining:.0f} s" if remaining < 90 else f"{remaining / 60:.0f} min"


_current: Reporter = Quiet()


def current() -> Reporter:
    """Return the reporter of this process."""
    return _current


@contextmanager
def reporting(reporter: Reporter) -> Iterator[Reporter]:
    """Make `reporter` this process's reporter for the length of the block."""
    global _current
    before, _current = _current, reporter
    try:
        yield reporter
    finally:
        _current = before


def for_stream(stream: TextIO) -> Reporter:
    """Return bars for a terminal, plain lines for anything else."""
    return Terminal(stream) if stream.isatty() else Reporter(stream)
