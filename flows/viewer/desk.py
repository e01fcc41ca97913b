"""A process of its own that answers what needs the model: one question at a time, few waiting, and none for long."""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from storage.errors import ActlasError, UsageError

WAITING = 4
"""Questions that may wait; one more is turned away."""

DRAWINGS = 2
"""Drawings that may wait."""

SECONDS = 60.0
"""Time for an answer, in which a model may have to be loaded; then the process is ended and a new one serves the next."""

STEP = 0.2
"""Seconds after which it is looked whether an answer is still wanted."""

START = multiprocessing.get_context("spawn")


class Busy(ActlasError):
    """Too many questions at once, one that took too long, or one that nobody waits for any more."""


class Desk:
    """Asks a child process, so that neither memory nor time of the model is the server's."""

    def __init__(
        self, store: str, seconds: float = SECONDS, waiting: int = WAITING, serve: Callable[..., None] | None = None
    ) -> None:
        self.store, self.seconds = store, seconds
        self._serve = serve or serve_questions
        self._places, self._turn = threading.BoundedSemaphore(waiting + 1), threading.Lock()
        self._closing = threading.Event()
        self._child: tuple[Any, Connection] | None = None

    @functools.cached_property
    def drawing(self) -> Desk:
        """A second process, for what takes long: no other answer waits for it, and others have the cores first."""
        return Desk(self.store, self.seconds, DRAWINGS, serve_behind)

    def ask(self, question: str, asked: dict[str, Any], data: bytes, left: threading.Event | None = None) -> Any:
        """Return the answer. Raises Busy, also once nobody waits for it any more, or what the child raised."""
        if not self._places.acquire(blocking=False):
            raise Busy("too many questions at once; try again in a moment")
        try:
            with self._turn:
                return self._answer(question, asked, data, left)
        finally:
            self._places.release()

    def close(self) -> None:
        """End the child, if there is one, whatever it is at."""
        self._closing.set()
        with self._turn:
            self._end()
        if "drawing" in vars(self):
            self.drawing.close()

    def _answer(self, question: str, asked: dict[str, Any], data: bytes, left: threading.Event | None) -> Any:
        self._check(left)
        pipe = self._started()
        try:
            pipe.send((question, asked, data))
            self._wait(pipe, left)
            good, answer = pipe.recv()
        except (EOFError, OSError):
            self._end()
            raise Busy("the process with the model has ended; try again") from None
        except Busy:
            self._end()
            raise
        if not good:
            raise answer
        return answer

    def _wait(self, pipe: Connection, left: threading.Event | None) -> None:
        last = time.monotonic() + self.seconds
        while not pipe.poll(max(0, min(STEP, last - time.monotonic()))):
            self._check(left)
            if time.monotonic() >= last:
                raise Busy(f"no answer within {self.seconds:g} s; try a smaller picture, or a shallower layer")

    def _check(self, left: threading.Event | None) -> None:
        if self._closing.is_set() or (left is not None and left.is_set()):
            raise Busy("nobody waits for this any more")

    def _started(self) -> Connection:
        if self._child is None or not self._child[0].is_alive():
            self._end()
            here, there = START.Pipe()
            process = START.Process(target=self._serve, args=(self.store, there), daemon=True)
            process.start()
            there.close()
            self._child = (process, here)
        return self._child[1]

    def _end(self) -> None:
        if self._child is not None:
            process, pipe = self._child
            self._child = None
            pipe.close()
            process.kill()
            process.join()


def serve_questions(store: str, pipe: Connection) -> None:
    """Answer questions until the other end is closed."""
    from flows.viewer import asking

    while True:
        try:
            question, asked, data = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send((True, asking.QUESTIONS[question](store, asked, data)))
        except ActlasError as error:
            pipe.send((False, error))
        except Exception as error:
            pipe.send((False, UsageError(f"the model could not answer this: {error}")))


def serve_behind(store: str, pipe: Connection) -> None:
    """Do the same, and let others have the cores first."""
    os.nice(10)
    serve_questions(store, pipe)
