"""Compare versions of runs, as a plain dict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.comparing.measure import measure


def compare(store: str, names: Sequence[str], *, layers: Sequence[str] = (), noisy: bool = True) -> dict[str, Any]:
    """Compare runs (NAME or NAME@VERSION) that share images and layers, each with the one before it, as a plain dict.

    `layers` chooses among those that all have. `noisy` measures the noise of each layout that changed, by laying it out
    once more. Raises UsageError where there is nothing in common.
    """
    from flows.comparing import answer as comparison_answer

    return comparison_answer.describe(measure(store, names, layers=layers, noisy=noisy), asked=layers)
