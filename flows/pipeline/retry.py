"""Retry transient failures."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from flows import progress
from storage.errors import Changed, Unreadable

ATTEMPTS = 3
PAUSE = 1.0
"""Seconds before the second attempt at what may pass; doubled for each further one."""


TRANSIENT = {errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.ENETUNREACH, errno.EHOSTUNREACH}
"""What a file system answers that is not itself just now, beside time-outs and lost connections."""

T = TypeVar("T")


def retry(do: Callable[[], T]) -> T:
    """Return what a function makes; try again what may pass (time-out, I/O error), never what can't."""
    for number in range(ATTEMPTS - 1):
        try:
            return do()
        except Exception as error:
            if not is_transient(error):
                raise
            wait = PAUSE * 2**number
            progress.current().say(f"  {error}; trying again in {wait:.0f} s")
            time.sleep(wait)
    return do()


def is_transient(error: object) -> bool:
    """Say whether another attempt could go better."""
    if isinstance(error, Unreadable):
        return not isinstance(error, Changed)
    return isinstance(error, TimeoutError | ConnectionError) or (
        isinstance(error, OSError) and error.errno in TRANSIENT
    )
