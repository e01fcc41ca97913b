"""Retry transient failures."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from flows import progress
from storage.errors import CannotTell, Changed, Unreadable

ATTEMPTS = 3
PAUSE = 1.0
"""Seconds before the second attempt; doubled for each further one."""

TRANSIENT = {errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.ENETUNREACH, errno.EHOSTUNREACH}
"""Transient errors of file systems, beside time-outs and lost connections."""

T = TypeVar("T")


def retry(call: Callable[[], T]) -> T:
    """Call a function, retrying transient failures (time-outs, I/O errors) only."""
    for number in range(ATTEMPTS - 1):
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
            wait = PAUSE * 2**number
            progress.current().say(f"  {error}; trying again in {wait:.0f} s")
            time.sleep(wait)
    return call()


def is_transient(error: object) -> bool:
    """Tell whether another attempt may succeed."""
    if isinstance(error, Unreadable):
        return not isinstance(error, Changed)
    if isinstance(error, CannotTell):
        return error.code in TRANSIENT
    return isinstance(error, TimeoutError | ConnectionError) or (
        isinstance(error, OSError) and error.errno in TRANSIENT
    )
