"""Things kept in memory for the next question, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Kept:
    """What was made under a key, until what is asked for later needs its room. Heavier things than `limit` are not kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: Any, make: Callable[[], T], weigh: Callable[[T], int]) -> T:
        """Return what was made under this key, or make it: one thread at a time, so that nothing is made twice."""
        with self._lock:
            if key not in self._held:
                made = make()
                if weigh(made) > self.limit:
                    return made
                self._held[key] = made, weigh(made)
            self._held.move_to_end(key)
            while sum(weight for _, weight in self._held.values()) > self.limit:
                self._held.popitem(last=False)
            value: T = self._held[key][0]
            return value
