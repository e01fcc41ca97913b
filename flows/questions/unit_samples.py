"""Answer how a unit's sampled values are spread, with examples from all over their range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from typing_extensions import TypedDict

from atlas import boxes, unit_facts
from atlas.arrays import Float, Samples
from flows.questions import patches
from storage.models import preprocessing
from storage.run import Run

BINS = 60


class Histogram(TypedDict):
    """Counts between edges, of which there is one more."""

    edges: list[float]
    counts: list[int]


class Spread(TypedDict):
    """How the unit's sampled values are spread."""

    count: int
    zeros: float
    above_zero: float
    least: float
    largest: float
    mean: float
    deviation: float
    quantiles: dict[str, float]
    histogram: Histogram


class Example(patches.Place):
    """A sample of the unit, where it lies, and its value."""

    value: float


Interval = TypedDict("Interval", {"from": float, "to": float, "count": int, "share": float, "examples": list[Example]})
"""A part of the unit's range of values, with examples."""


def spread(values: Float) -> Spread | None:
    """Return the distribution of a unit's sampled values; None where it has no samples."""
    if not len(values):
        return None
    counts, edges = unit_facts.histogram(values, BINS)
    low, middle, high = np.quantile(values.astype(np.float64), (0.05, 0.5, 0.95)).tolist()
    return {
        "count": len(values),
        "zeros": float((values == 0).mean()),
        "above_zero": float((values > 0).mean()),
        "least": float(values.min()),
        "largest": float(values.max()),
        "mean": float(values.mean(dtype=np.float64)),
        "deviation": float(values.std(dtype=np.float64)),
        "quantiles": {"0.05": low, "0.5": middle, "0.95": high},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def intervals(run: Run, layer: str, samples: Samples, values: Float, parts: int, each: int) -> list[Interval]:
    """Cut the range of the samples into equal parts, lowest first, with examples of each, strongest first."""
    parted = unit_facts.intervals(values, parts, each)
    positions = iter(_positions(run, layer, samples, [row for rows in parted.rows for row in rows.tolist()]))
    return [
        {
            "from": low,
            "to": high,
            "count": count,
            "share": count / len(values),
            "examples": [{"value": float(values[row]), **next(positions)} for row in rows.tolist()],
        }
        for low, high, count, rows in zip(
            parted.edges[:-1].tolist(),
            parted.edges[1:].tolist(),
            parted.count.tolist(),
            parted.rows,
            strict=True,
        )
    ]


def _positions(run: Run, layer: str, samples: Samples, rows: Sequence[int]) -> list[patches.Place]:
    """Return the image, label, position and focus of each sample."""
    chosen, preprocess = np.asarray(rows, np.int64), preprocessing.from_fingerprint(run.model["preprocessing"])
    ids, y, x = samples.image_id[chosen], samples.y[chosen], samples.x[chosen]
    images = {row["image_id"]: row for row in run.images(sorted(set(ids.tolist()))).to_pylist()} if len(ids) else {}
    focus: list[patches.PixelBox] = []
    if len(ids):
        field = run.field(layer)
        geometries = [preprocess.geometry(images[i]["width"], images[i]["height"]) for i in ids.tolist()]
        within = boxes.focus_box(field.layer, y, x, field.focus, field.input_shape)
        focus = [
            {"left": left, "top": top, "right": right, "bottom": bottom}
            for left, top, right, bottom in boxes.to_source(within, geometries).tolist()
        ]
    return [
        {"image_id": i, "path": images[i]["path"], "label": images[i]["label"], "y": down, "x": across, "focus": box}
        for i, down, across, box in zip(ids.tolist(), y.tolist(), x.tolist(), focus, strict=True)
    ]
