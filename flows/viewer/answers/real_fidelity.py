"""The fidelity that real patches of a grid reach, beside that of its icons."""

from __future__ import annotations

from typing_extensions import TypedDict

from flows.metrics import real_fidelity
from flows.viewer.answers.open_runs import OpenVersion


class RealFidelity(TypedDict):
    """The fidelity of samples to the mean of their own cell, which an icon's is to be held against.

    Four of five samples lie from `low` to `high`; null, all three, where there is nothing to measure.
    """

    layer: str
    grid: int
    samples: int
    low: float | None
    median: float | None
    high: float | None


def of_grid(version: OpenVersion, layer: str, grid: int) -> RealFidelity:
    """Return the fidelity that real patches of a grid reach."""
    version.result("cells", layer, grid)

    def measure() -> RealFidelity:
        real = real_fidelity.of_grid(version.run, layer, grid)
        if real is None:
            return {"layer": layer, "grid": grid, "samples": 0, "low": None, "median": None, "high": None}
        low, median, high = (round(real[part], 3) for part in ("low", "median", "high"))
        return {"layer": layer, "grid": grid, "samples": real["samples"], "low": low, "median": median, "high": high}

    return version.keep(("real_fidelity", layer, grid), measure)
