"""Questions on their way to the model: who asks the same waits for the same answer, and leaving gives it up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from fastapi import Request

from flows.viewer.desk import Busy

LOOKS = 0.2
"""Seconds after which it is looked whether somebody still waits."""

THREADS = 12
"""More than both processes let wait, so that one too many is told so at once."""

Work = Callable[[threading.Event], bytes]


@dataclass(slots=True)
class Asked:
    """A question on its way, how many wait for it, and the sign that nobody does any more."""

    answer: asyncio.Future[bytes]
    left: threading.Event
    waiting: int = field(default=0)


class Waiting:
    """Lets each question be asked once however many wait, in threads of its own; to be used from one event loop."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="asking")
        self._running: dict[Hashable, Asked] = {}

    async def ask(self, key: Hashable, work: Work, request: Request) -> bytes:
        """Return what `work` makes, or what it is just making for somebody else. Raises Busy once the asker has left."""
        asked = self._asked(key, work)
        asked.waiting += 1
        try:
            while not (await asyncio.wait({asked.answer}, timeout=LOOKS))[0]:
                if await request.is_disconnected():
                    raise Busy("nobody waits for this any more")
            return asked.answer.result()
        finally:
            asked.waiting -= 1
            if not asked.waiting:
                asked.left.set()

    def _asked(self, key: Hashable, work: Work) -> Asked:
        found = self._running.get(key)
        if found is not None and not found.left.is_set():
            return found
        left = threading.Event()
        answer = asyncio.get_running_loop().run_in_executor(self._pool, work, left)
        asked = self._running[key] = Asked(answer, left)
        answer.add_done_callback(lambda done: self._forget(key, asked, done))
        return asked

    def _forget(self, key: Hashable, asked: Asked, done: asyncio.Future[bytes]) -> None:
        if self._running.get(key) is asked:
            del self._running[key]
        if not done.cancelled():
            done.exception()  # so that nobody is told of a fault that nobody waits for any more
