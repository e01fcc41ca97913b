"""Coalesce identical model requests; cancel one when its last client disconnects."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from fastapi import Request

from flows.viewer.answers.errors import Busy

POLL = 0.2
"""Seconds between checks for disconnected clients."""

THREADS = 12
"""More than both worker processes queue, so that a request too many reaches them and is refused at once."""

Job = Callable[[threading.Event], bytes]


@dataclass(slots=True)
class Pending:
    """A request in progress, the number of its clients, and the event set when the last has left."""

    answer: Future[bytes]
    left: threading.Event
    clients: int = field(default=0)


class Requests:
    """Runs each request once, in its own threads, however many clients wait for it.

    Clients may wait in different event loops: in a notebook each request has one.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="asking")
        self._running: dict[Hashable, Pending] = {}
        self._lock = threading.Lock()

    async def ask(self, key: Hashable, job: Job, request: Request) -> bytes:
        """Return the result of `job`, shared with other requests of the same key. Raises Busy if the client leaves."""
        pending = self._join(key, job)
        try:
            answer = asyncio.wrap_future(pending.answer)
            answer.add_done_callback(_retrieve_exception)
            while not (await asyncio.wait({answer}, timeout=POLL))[0]:
                if await request.is_disconnected():
                    raise Busy("the client has disconnected")
            return answer.result()
        finally:
            self._leave(key, pending)

    def _join(self, key: Hashable, job: Job) -> Pending:
        with self._lock:
            pending = self._running.get(key)
            if pending is None:
                left = threading.Event()
                pending = self._running[key] = Pending(self._pool.submit(job, left), left)
            pending.clients += 1
            return pending

    def _leave(self, key: Hashable, pending: Pending) -> None:
        """Remove a client; the last one removes the request too, so that a later client starts a new one."""
        with self._lock:
            pending.clients -= 1
            if not pending.clients:
                pending.left.set()
                if self._running.get(key) is pending:
                    del self._running[key]


def _retrieve_exception(answer: asyncio.Future[bytes]) -> None:
    """Retrieve the exception of an abandoned request, or asyncio logs that it never was."""
    if not answer.cancelled():
        answer.exception()
