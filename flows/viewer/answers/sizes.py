"""How much memory cached values hold, and giving back what is free."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

OBJECT = 64
"""Bytes of a small Python object with its place in a container, roughly."""


def nbytes(value: Any) -> int:
    """Return roughly the bytes that a value holds: arrays, tables and bytes exactly, small objects at a flat rate.

    Other threads may add to a dictionary meanwhile, so its items are listed before any is looked at.
    """
    if isinstance(value, np.ndarray | pa.Table):
        return int(value.nbytes)
    if isinstance(value, bytes | str):
        return len(value) + OBJECT
    if isinstance(value, dict):
        return OBJECT + sum(nbytes(key) + nbytes(item) for key, item in list(value.items()))
    if isinstance(value, list | tuple):
        return OBJECT + sum(map(nbytes, value))
    if dataclasses.is_dataclass(value):
        return OBJECT + sum(nbytes(getattr(value, field.name)) for field in dataclasses.fields(value))
    if hasattr(value, "__dict__"):
        return OBJECT + sum(nbytes(item) for item in list(vars(value).values()))
    return OBJECT


def release() -> None:
    """Give memory that is free back to the system: allocators keep it, and a comparison reads two versions whole."""
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)
