"""A process of its own that answers what needs the model: one question at a time, few waiting, and none for long."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from storage.errors import ActlasError, UsageError

WAITING = 4
"""Questions that may wait; one more is turned away."""

SECONDS = 60.0
"""Time for an answer, in which a model may have to be loaded; then the process is ended and a new one serves the next."""

START = multiprocessing.get_context("spawn")


class Busy(ActlasError):
    """Too many questions at once, or one that took too long."""


class Desk:
    """Asks a child process, so that neither memory nor time of the model is the server's."""

    def __init__(
        self, store: str, seconds: float = SECONDS, waiting: int = WAITING, serve: Callable[..., None] | None = None
    ) -> None:
        self.store, self.seconds = store, seconds
        self._serve = serve or serve_questions
        self._places, self._turn = threading.BoundedSemaphore(waiting + 1), threading.Lock()
        self._child: tuple[Any, Connection] | None = None

    def ask(self, question: str, asked: dict[str, Any], data: bytes) -> Any:
        """Return the answer. Raises Busy, or what the child raised."""
        if not self._places.acquire(blocking=False):
            raise Busy("too many pictures at once; try again in a moment")
        try:
            with self._turn:
                return self._answer(question, asked, data)
        finally:
            self._places.release()

    def close(self) -> None:
        """End the child, if there is one."""
        with self._turn:
            self._end()

    def _answer(self, question: str, asked: dict[str, Any], data: bytes) -> Any:
        pipe = self._started()
        try:
            pipe.send((question, asked, data))
            if not pipe.poll(self.seconds):
                raise Busy(f"no answer within {self.seconds:g} s; try a smaller picture, or a shallower layer")
            good, answer = pipe.recv()
        except (EOFError, OSError):
            self._end()
            raise Busy("the process that looks at pictures has ended; try again") from None
        except Busy:
            self._end()
            raise
        if not good:
            raise answer
        return answer

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
            pipe.send((False, UsageError(f"this picture could not be looked at: {error}")))
