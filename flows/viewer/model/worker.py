"""A worker process for requests that need the model: one at a time, with a short queue and a time limit."""

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
from flows.viewer.model import child
from storage import processes

WAITING = 4
"""Requests that may wait; further ones are refused."""

DRAWINGS = 2
"""Drawings that may wait."""

SECONDS = 60.0
"""Time limit for an answer; past it the process is replaced. Starting and loading the model do not count."""

LOADING = 600.0
"""Time limit for starting a process and loading its model, which a slow disk or machine makes long."""

TITLES = {
    "load": "loading the model",
    "locate": "locating the image",
    "explain": "explaining the image",
    "links": "measuring the patches of the links",
    "gradients": "drawing the gradients",
    "facets": "drawing the facets",
}
"""What is being done, by the kind of request."""

POLL = 0.2
"""Seconds between checks for disconnected clients."""

GRACE = 10.0
"""Seconds an abandoned request may still run: a new process would have to load the model again."""

START = multiprocessing.get_context("spawn")


class ModelWorker:
    """Sends requests to a child process, so that the model takes neither memory nor time of the server's."""

    def __init__(
        self,
        store: str,
        seconds: float = SECONDS,
        waiting: int = WAITING,
        serve: Callable[..., None] | None = None,
        grace: float = GRACE,
        loading: float = LOADING,
    ) -> None:
        self.store, self.seconds, self.grace, self.loading = store, seconds, grace, loading
        self._serve = serve or child.serve
        self._slots, self._turn = threading.BoundedSemaphore(waiting + 1), threading.Lock()
        self._closing = threading.Event()
        self._child: tuple[Any, Connection] | None = None

    @functools.cached_property
    def drawing(self) -> ModelWorker:
        """A second process at low priority, for long drawings: other requests do not wait for it."""
        return ModelWorker(self.store, self.seconds, DRAWINGS, child.serve_at_low_priority, 0, self.loading)

    def ask(self, kind: str, request: dict[str, Any], data: bytes, left: threading.Event | None = None) -> Any:
        """Return the answer. Raises Full or Busy, also once `left` is set, or what the child raised."""
        if not self._slots.acquire(blocking=False):
            raise Full("too many questions at once; try again in a moment")
        try:
            with self._take_turn(left):
                return self._exchange(kind, request, data, left)
        finally:
            self._slots.release()

    @contextmanager
    def _take_turn(self, left: threading.Event | None) -> Iterator[None]:
        while not self._turn.acquire(timeout=POLL):
            self._check(left)
        try:
            yield
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the child process, if there is one, even in the middle of a request."""
        self._closing.set()
        with self._turn:
            self._end()
        if "drawing" in vars(self):
            self.drawing.close()

    def _exchange(self, kind: str, request: dict[str, Any], data: bytes, left: threading.Event | None) -> Any:
        self._check(left)
        pipe = self._start()
        try:
            pipe.send((kind, request, data))
            success, answer = self._receive(pipe, kind, left)
        except (EOFError, OSError):
            self._end()
            raise Busy("the process with the model has ended; try again") from None
        except Busy:
            self._end()
            raise
        if not success:
            raise answer
        return answer

    def _receive(self, pipe: Connection, kind: str, left: threading.Event | None) -> tuple[bool, Any]:
        """Wait for the model, then for the answer. A model that is being loaded serves the next client, too."""
        if not self._wait(pipe, self.loading, None):
            raise Busy(
                f"loading the model took more than {self.loading:g} s; try again when the machine has less to do"
            )
        state, answer = pipe.recv()
        if state != child.ANSWERING:
            return state, answer
        if not self._wait(pipe, self.seconds, left):
            title = TITLES.get(kind, kind)
            raise Busy(f"{title} took more than {self.seconds:g} s; `actlas view --time-limit SECONDS` allows more")
        success, answer = pipe.recv()
        return success, answer

    def _wait(self, pipe: Connection, seconds: float, left: threading.Event | None) -> bool:
        """Wait for a message for so long, or until the grace of a client that has left ends; tell whether it is there."""
        deadline = time.monotonic() + seconds
        while not pipe.poll(max(0, min(POLL, deadline - time.monotonic()))):
            if left is not None and left.is_set():
                deadline, left = min(deadline, time.monotonic() + self.grace), None
            self._check(None)
            if time.monotonic() >= deadline:
                return False
        return True

    def _check(self, left: threading.Event | None) -> None:
        if self._closing.is_set() or (left is not None and left.is_set()):
            raise Busy("the client has disconnected")

    def _start(self) -> Connection:
        """Return the pipe to the child process, which is started unless it runs."""
        if self._child is None or not self._child[0].is_alive():
            self._end()
            own_end, child_end = START.Pipe()
            process = START.Process(target=self._serve, args=(self.store, child_end), daemon=True)
            processes.start_apart(process)
            child_end.close()
            self._child = (process, own_end)
        return self._child[1]

    def _end(self) -> None:
        if self._child is not None:
            process, pipe = self._child
            self._child = None
            pipe.close()
            process.kill()
            process.join()
