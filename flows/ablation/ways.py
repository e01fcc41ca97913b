"""The ways to change a unit. Loads no torch."""

from __future__ import annotations

import math

from storage.errors import UsageError

WAYS = "zero, mean, resample or scale=F, as in scale=0.5"


def parse(by: str) -> tuple[str, float]:
    """Return the kind of an ablation and its factor. Raises UsageError."""
    kind, equals, text = by.partition("=")
    try:
        factor = float(text) if kind == "scale" else 0.0
    except ValueError:
        factor = math.nan
    if kind not in ("zero", "mean", "resample", "scale") or not math.isfinite(factor) or (equals and kind != "scale"):
        raise UsageError(f"--by {by}: write {WAYS}")
    return kind, factor
