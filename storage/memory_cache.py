"""A cache in memory with a limit in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class MemoryCache:
    """Cache values by key and evict the least recently used beyond `limit` bytes; larger values are not cached."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: Any, compute: Callable[[], T], nbytes: Callable[[T], int]) -> T:
        """Return the value cached under this key, or compute it: one thread at a time, so that none is computed twice."""
        with self._lock:
            if key not in self._entries:
                computed = compute()
                if nbytes(computed) > self.limit:
                    return computed
                self._entries[key] = computed, nbytes(computed)
            self._entries.move_to_end(key)
            while sum(size for _, size in self._entries.values()) > self.limit:
                self._entries.popitem(last=False)
            value: T = self._entries[key][0]
            return value

    def held(self) -> int:
        """Return the bytes cached."""
        with self._lock:
            return sum(size for _, size in self._entries.values())

    def evict(self) -> bool:
        """Drop the least recently used value; return whether there was one."""
        with self._lock:
            return bool(self._entries) and self._entries.popitem(last=False) is not None
