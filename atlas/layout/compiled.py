"""Keep what numba compiles for UMAP on the disk: its first layout in a process then takes 2 s and not 12.

umap-learn leaves numba's cache off. The cache is numba's own (beside the library, or in the user's cache folder), keyed by
source file and processor, so the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any

CACHE: Mapping[str, Any] = {"cache": True}


@contextmanager
def compiled_once() -> Iterator[None]:
    """Let functions that are decorated by numba inside the block use its cache, where one can be written."""
    import numba

    originals = {name: getattr(numba, name) for name in ("njit", "jit", "vectorize", "guvectorize")}
    numba.njit = cached(originals["njit"])
    for name in ("jit", "vectorize", "guvectorize"):  # which libraries let use the cache themselves
        setattr(numba, name, cached(originals[name], {}))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(numba, name, original)


def cached(decorator: Callable[..., Any], default: Mapping[str, Any] = CACHE) -> Callable[..., Any]:
    """Return numba's decorator with `cache=True` by default, or False for a function that numba finds no place to cache."""

    def decorate(*args: Any, **options: Any) -> Any:
        if args and isinstance(args[0], FunctionType):
            return decorate(*args[1:], **options)(args[0])

        def apply(function: FunctionType) -> Any:
            try:
                return decorator(*args, **{**default, **options})(function)
            except RuntimeError:  # no folder that can be written; some of UMAP's own functions ask for one, too
                return decorator(*args, **(options | {"cache": False}))(function)

        return apply

    return decorate
