"""Questions on their way to the model: who asks the same waits for the same answer, and leaving gives it up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from fastapi import Request

from flows.viewer.answers.errors import Busy

LOOKS = 0.2
"""Seconds after which it is looked whether somebody still waits."""

THREADS = 12
"""More than both processes let wait, so that one too many is told so at once."""

Job = Callable[[threading.Event], bytes]


@dataclass(slots=True)
class Pending:
    """A question on its way, how many wait for it, and the sign that nobody does any more."""

    answer: Future[bytes]
    left: threading.Event
    waiting: int = field(default=0)


class Requests:
    """Lets each question be asked once however many wait, in threads of its own.

    Those who wait may do so in event loops of their own: in a notebook each request has one.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="asking")
        self._running: dict[Hashable, Pending] = {}
        self._lock = threading.Lock()

    async def ask(self, key: Hashable, work: Job, request: Request) -> bytes:
        """Return what `work` makes, or what it is just making for somebody else. Raises Busy once the asker has left."""
        asked = self._join(key, work)
        try:
            answer = asyncio.wrap_future(asked.answer)
            answer.add_done_callback(_seen)
            while not (await asyncio.wait({answer}, timeout=LOOKS))[0]:
                if await request.is_disconnected():
                    raise Busy("nobody waits for this any more")
            return answer.result()
        finally:
            self._leave(key, asked)

    def _join(self, key: Hashable, work: Job) -> Pending:
        with self._lock:
            asked = self._running.get(key)
            if asked is None:
                left = threading.Event()
                asked = self._running[key] = Pending(self._pool.submit(work, left), left)
            asked.waiting += 1
            return asked

    def _leave(self, key: Hashable, asked: Pending) -> None:
        """Go; the last one takes the question along, so that who asks later begins anew."""
        with self._lock:
            asked.waiting -= 1
            if not asked.waiting:
                asked.left.set()
                if self._running.get(key) is asked:
                    del self._running[key]


def _seen(answer: asyncio.Future[bytes]) -> None:
    """Look at a fault, or Python tells of one that nobody waits for any more."""
    if not answer.cancelled():
        answer.exception()
