"""Answer with the strongest patches of a unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.errors import UsageError
from storage.run import Run

SIGNS = ("positive", "negative")


def top(run: Run, layer: str, unit: int, *, k: int = 16, sign: str = "positive") -> dict[str, Any]:
    """Return the strongest patches of a unit, with a note where ties decide which are listed."""
    if sign not in SIGNS:
        raise UsageError(f"--sign is {sign!r}; it is positive or negative")
    if k < 1:
        raise UsageError(f"-k is {k}; at least 1")
    patches = run.patches(layer, unit, k, sign)
    counted = run.unit(layer, unit)
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "unit": unit,
        "sign": sign,
        "note": _caveat(counted, sign, min(k, len(patches))),
        "extreme": finite(counted[f"{sign}_extreme"]),
        "images_at_extreme": counted[f"{sign}_extreme_count"],
        "nonfinite": counted["nonfinite"],
        "patches": patches.to_pylist(),
    }


def _caveat(counted: dict[str, Any], sign: str, shown: int) -> str | None:
    """Return a caveat on the list of patches, if there is one."""
    if not shown:
        return "no data: no finite value was seen"
    value, many = counted[f"{sign}_extreme"], counted[f"{sign}_extreme_count"]
    if counted["positive_extreme"] == counted["negative_extreme"]:
        return f"never fires: {many} images, all at {value:g}"
    if many <= shown:
        return None
    if sign == "negative":
        return (
            f"no negative side: {many} images share the lowest value {value:g}, so which are listed is by the tie order"
        )
    return f"saturated: {many} images share the highest value {value:g}, so which are listed is by the tie order"


def finite(value: Any) -> float | None:
    """Return a float, or None where JSON has no number for it (NaN, infinity)."""
    value = float(value)
    return value if np.isfinite(value) else None
