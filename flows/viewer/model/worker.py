"""A process of its own that answers what needs the model: one question at a time, few waiting, and none for long."""

from __future__ import annotations

import functools
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from flows.viewer.answers.errors import Busy, Full
from flows.viewer.model.child import serve_behind, serve_questions

WAITING = 4
"""Questions that may wait; one more is turned away."""

DRAWINGS = 2
"""Drawings that may wait."""

SECONDS = 60.0
"""Time for an answer, in which a model may have to be loaded; then the process is ended and a new one serves the next."""

STEP = 0.2
"""Seconds after which it is looked whether an answer is still wanted."""

GRACE = 10.0
"""Seconds for which a quick question goes on that nobody waits for: to end its process costs the next one more."""

START = multiprocessing.get_context("spawn")


class ModelWorker:
    """Asks a child process, so that neither memory nor time of the model is the server's."""

    def __init__(
        self,
        store: str,
        seconds: float = SECONDS,
        waiting: int = WAITING,
        serve: Callable[..., None] | None = None,
        grace: float = GRACE,
    ) -> None:
        self.store, self.seconds, self.grace = store, seconds, grace
        self._serve = serve or serve_questions
        self._places, self._turn = threading.BoundedSemaphore(waiting + 1), threading.Lock()
        self._closing = threading.Event()
        self._child: tuple[Any, Connection] | None = None

    @functools.cached_property
    def drawing(self) -> ModelWorker:
        """A second process, for what takes long: no other answer waits for it, and others have the cores first."""
        return ModelWorker(self.store, self.seconds, DRAWINGS, serve_behind, grace=0)

    def ask(self, question: str, asked: dict[str, Any], data: bytes, left: threading.Event | None = None) -> Any:
        """Return the answer. Raises Busy, also once nobody waits for it any more, or what the child raised."""
        if not self._places.acquire(blocking=False):
            raise Full("too many questions at once; try again in a moment")
        try:
            with self._my_turn(left):
                return self._answer(question, asked, data, left)
        finally:
            self._places.release()

    @contextmanager
    def _my_turn(self, left: threading.Event | None) -> Iterator[None]:
        while not self._turn.acquire(timeout=STEP):
            self._check(left)
        try:
            yield
        finally:
            self._turn.release()

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
            if left is not None and left.is_set():
                last, left = min(last, time.monotonic() + self.grace), None
            self._check(None)
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
