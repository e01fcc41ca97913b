"""Answer from the peaks of a layer: the strongest patches of chosen images, and statistics over all images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from typing_extensions import TypedDict

from atlas import boxes, order_statistics
from flows.questions import patches, sql
from flows.questions.patches import Patch, PixelBox, TopPatches
from storage.artefacts import peaks as peak_arrays
from storage.models import preprocessing
from storage.run import Run

QUANTILES = (0.05, 0.5, 0.95, 0.99)
BLOCK = 32
"""Units whose statistics are computed together: this bounds memory."""


class PeakStatistics(TypedDict):
    """One unit's peaks over all images: their mean and quantiles, and the share of images where the peak is above 0."""

    unit: int
    images: int
    mean: float | None
    active: float | None
    quantiles: dict[str, float | None]


def top(run: Run, layer: str, unit: int, where: str, *, k: int = 16, sign: str = "positive") -> TopPatches:
    """Return the strongest patches of a unit in the images that fit an SQL condition on the table `images`.

    Raises UsageError for a condition that is wrong, Incomplete unless the run keeps peaks of the layer.
    """
    patches.check(k, sign)
    run.results("peaks", layer)
    chosen = images_where(run, where)
    table = run.strongest(layer, unit, chosen, k, sign)
    extremes = {side: run.strongest(layer, unit, chosen, 1, side)["value"].to_pylist() for side in patches.SIGNS}
    counted: dict[str, Any] = {f"{side}_extreme": values[0] if values else None for side, values in extremes.items()}
    counted[f"{sign}_extreme_count"] = _count_at(run, layer, unit, chosen, sign, counted[f"{sign}_extreme"])
    rows = cast(list[Patch], with_boxes(run, layer, table))
    answer = patches.ranked(run, layer, unit, sign, counted | {"nonfinite": None}, rows)
    return {**answer, "where": where, "images": len(chosen)}


def images_where(run: Run, where: str) -> list[int]:
    """Return the ids of the images that fit an SQL condition on the table `images`. Raises UsageError."""
    rows = sql.ask(run, f"select image_id from images where ({where}\n) order by image_id")
    return [row["image_id"] for row in rows]


def _count_at(run: Run, layer: str, unit: int, chosen: list[int], sign: str, extreme: float | None) -> int:
    """Count the chosen images whose peak is this value."""
    side, many = patches.SIGNS.index(cast(patches.Sign, sign)), 0
    for part in run.results("peaks", layer) if extreme is not None else ():
        peaks = peak_arrays.read(part, slice(unit, unit + 1))
        many += int(((peaks.value[0, side] == extreme) & np.isin(peaks.image_id, chosen)).sum())
    return many


def with_boxes(run: Run, layer: str, table: pa.Table) -> list[dict[str, Any]]:
    """Return patches with their reach and focus in pixels of the source images."""
    rows = table.to_pylist()
    if not rows:
        return []
    field, preprocess = run.field(layer), preprocessing.from_fingerprint(run.model["preprocessing"])
    sizes = {row["image_id"]: row for row in run.images(sorted({row["image_id"] for row in rows})).to_pylist()}
    geometries = [preprocess.geometry(*(sizes[row["image_id"]][s] for s in ("width", "height"))) for row in rows]
    y, x = table["y"].to_numpy(), table["x"].to_numpy()
    reach = np.stack([field.reach.left[x], field.reach.top[y], field.reach.right[x], field.reach.bottom[y]], axis=1)
    focus = boxes.focus_box(field.layer, y, x, field.focus, field.input_shape)
    placed = [_as_boxes(boxes.to_source(box, geometries)) for box in (reach.astype(np.float64), focus)]
    return [row | {"reach": whole, "focus": part} for row, whole, part in zip(rows, *placed, strict=True)]


def _as_boxes(sides: NDArray[np.int32]) -> list[PixelBox]:
    return [{"left": left, "top": top, "right": right, "bottom": bottom} for left, top, right, bottom in sides.tolist()]


def statistics(run: Run, layer: str, unit: int | None = None, *, sign: str = "positive") -> list[PeakStatistics]:
    """Return the statistics of a layer's peaks over all images: of each unit, or of one."""
    patches.check(1, sign)
    parts = run.results("peaks", layer)
    units = parts[0].counts["units"]
    if unit is not None:
        run.check_unit(parts[0], layer, unit)
    blocks = [slice(unit, unit + 1)] if unit is not None else [slice(f, f + BLOCK) for f in range(0, units, BLOCK)]
    return [row for block in blocks for row in _block(run, layer, block, patches.SIGNS.index(cast(patches.Sign, sign)))]


def _block(run: Run, layer: str, units: slice, side: int) -> Iterator[PeakStatistics]:
    def values() -> Iterator[NDArray[np.float32]]:
        for part in peak_arrays.values(run.results("peaks", layer), units):
            yield part[:, side]

    count, active, total = (np.sum(column, axis=0) for column in zip(*map(_sums, values()), strict=True))
    quantiles = order_statistics.quantiles(values, QUANTILES)
    with np.errstate(invalid="ignore"):
        mean, share = total / count, active / count
    for number in range(len(quantiles)):
        yield {
            "unit": units.start + number,
            "images": int(count[number]),
            "mean": patches.finite(mean[number]),
            "active": patches.finite(share[number]),
            "quantiles": {f"{q:g}": patches.finite(v) for q, v in zip(QUANTILES, quantiles[number], strict=True)},
        }


def _sums(values: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return, per unit, how many images have a peak, how many one above 0, and the sum of all."""
    finite = np.isfinite(values)
    return finite.sum(axis=1), (values > 0).sum(axis=1), np.where(finite, values, 0).sum(axis=1, dtype=np.float64)
