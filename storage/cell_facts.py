"""What a run may know of its cells beside their averages: icons with their proof, and classes; empty where it has none."""

from __future__ import annotations

import numpy as np

from atlas.arrays import CellClasses
from storage.results import Result

Columns = dict[str, np.ndarray]


def icons(result: Result | None, n: int) -> Columns:
    """Return the pictures `icon` of `n` cells and their proof; without a result zero pixels and rank 0."""
    from storage import arrays

    if result is not None:
        drawn = arrays.read_group(result.file("icons.zarr"))
        drawn["icon"] = drawn.pop("pictures")
        return drawn
    return {
        "icon": np.zeros((n, 0, 0, 3), np.uint8),
        "cosine": np.full(n, np.nan, np.float32),
        "rank": np.zeros(n, np.int64),
        "tries": np.zeros(n, np.int64),
        "weak": np.zeros(n, np.bool_),
    }


def classes(result: Result | None, n: int) -> Columns:
    """Return the first classes of `n` cells, with their mean attribution and share; without a result no column."""
    if result is None:
        empty = np.zeros((n, 0), np.float32)
        return {"classes": empty.astype(np.int32), "class_mean": empty, "class_share": empty}
    made = attribution(result)
    mean = np.take_along_axis(made.mean, np.maximum(made.classes, 0).astype(np.int64), 1)
    return {"classes": made.classes, "class_mean": mean, "class_share": made.share}


def attribution(result: Result) -> CellClasses:
    """Read a grid's attribution."""
    from storage import arrays

    return CellClasses(**arrays.read_group(result.file("attribution.zarr")))
