"""What a run may know of its cells beside their averages: icons with their proof, and classes; empty where it has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int
from storage.results import Result

Columns = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What the cells of a grid (`n`) speak for, by the samples (`m`) that were looked at.

    `mean n k` is the mean attribution to every class, in units of its logit; `used` how many samples of the cell were
    looked at; `classes n t` the classes that come first, with `share`, the part of those samples whose own first class
    it is. `sample_classes m t` and `sample_values m t` are those of the samples, which are rows `sample` of
    `run.samples(layer)`.
    """

    mean: Float
    used: Int
    classes: NDArray[np.int32]
    share: Float
    sample: Int
    sample_classes: NDArray[np.int32]
    sample_values: Float


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


def attribution(result: Result) -> Attribution:
    """Read a grid's attribution."""
    from storage import arrays

    return Attribution(**arrays.read_group(result.file("attribution.zarr")))
