"""UMAP's functions are compiled once for all processes, and as before where nothing can be cached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import pytest

from atlas.layout.compiled import cached, compiled_once


def test_functions_of_umap_use_the_cache() -> None:
    with compiled_once():
        import umap.layouts
        import umap.umap_
    functions = (umap.umap_.smooth_knn_dist, umap.umap_.compute_membership_strengths, umap.layouts.rdist)
    assert [type(function._cache).__name__ for function in functions] == ["FunctionCache"] * 3


def test_the_decorator_is_given_back() -> None:
    originals = numba.njit, numba.jit, numba.vectorize, numba.guvectorize
    with pytest.raises(KeyError), compiled_once():
        raise KeyError
    assert (numba.njit, numba.jit, numba.vectorize, numba.guvectorize) == originals


@pytest.mark.parametrize("form", ["bare", "with options"])
def test_results_are_those_of_the_plain_decorator(form: str) -> None:
    def twice(x: int) -> int:
        return 2 * x

    njit = cached(numba.njit)
    compiled = njit(twice) if form == "bare" else njit(fastmath=True)(twice)
    assert compiled(21) == 42


@pytest.mark.parametrize("own", [{}, {"cache": True}])
def test_a_function_that_cannot_be_cached_is_compiled_all_the_same(own: dict[str, Any]) -> None:
    calls: list[dict[str, Any]] = []

    def refusing(**options: Any) -> Callable[[Any], Any]:
        calls.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    assert cached(refusing)(**own)(test_the_decorator_is_given_back) is test_the_decorator_is_given_back
    assert calls == [{"cache": True}, {"cache": False}]
