"""Compare versions of runs."""

from __future__ import annotations

from collections.abc import Sequence

from flows.comparing import answers as comparison_answer
from flows.comparing.answers import Comparison
from flows.comparing.measure import measure


def compare(store: str, names: Sequence[str], *, layers: Sequence[str] = (), noisy: bool = True) -> Comparison:
    """Compare runs (NAME or NAME@VERSION) that share images and layers, each with the one before it.

    `layers` selects among the layers that all runs have. `noisy` measures the noise of each layout that changed, by
    computing it once more. Raises UsageError where the runs have nothing in common.
    """
    return comparison_answer.describe(measure(store, names, layers=layers, noisy=noisy), chosen=layers)
