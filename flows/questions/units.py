"""Collect everything a run knows about one unit, as a plain dict: for the unit card, Python and the viewer.

Importing this module loads neither torch nor prefect.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from atlas import boxes, unit_facts
from atlas.arrays import CAPACITY, CellClasses, Float, Samples
from flows.questions import classes, influence
from flows.questions import patches as patch_answers
from storage.artefacts import tables
from storage.artefacts.cells import RunCells
from storage.models import preprocessing
from storage.run import Run

PATCHES, ALIKE, CLASSES, LINKS = 9, 6, 5, 5
BINS, PARTS, EACH = 60, 10, 4
SIDES = ("left", "top", "right", "bottom")


class Shared:
    """Data that the answers for all units of a layer share, read once; pass it on when asking for many units."""

    def __init__(self, run: Run, layer: str) -> None:
        self.run, self.layer = run, layer

    @functools.cached_property
    def samples(self) -> Samples:
        return self.run.samples(self.layer)

    @functools.cached_property
    def image_means(self) -> Float:
        return unit_facts.image_means(self.samples)

    @functools.cached_property
    def strongest(self) -> np.ndarray:
        """The images of each unit's strongest patches, `units k`."""
        return _strongest_images(self.run, self.layer)

    @functools.cached_property
    def attributed(self) -> tuple[RunCells, CellClasses] | None:
        """The cells of the finest grid with an attribution, and that attribution."""
        grids = [grid for grid in self.run.grids if self.run.has("attribution", self.layer, grid)]
        if not grids:
            return None
        return self.run.cells(self.layer, grids[-1]), self.run.attribution(self.layer, grids[-1])


def unit(
    run: Run,
    layer: str,
    number: int,
    *,
    k: int = PATCHES,
    parts: int = PARTS,
    each: int = EACH,
    shared: Shared | None = None,
) -> dict[str, Any]:
    """Return the facts of a unit; those of stages that the run lacks are None.

    `positive` and `negative` are answers of `patches.top`; `labels` counts the labels of the strongest 64 patches;
    `samples` is the distribution of its sampled values, and `intervals` cuts their range into equal `parts` with `each`
    examples; `alike` are units of the layer, by the cosine of their means over images and by the share of their
    strongest images that they have in common; `classes` those whose attribution rises and falls with the unit over the
    cells of the finest grid; `drives` and `driven` are units of the next and previous layers.
    """
    top = {sign: patch_answers.top(run, layer, number, k=k, sign=sign) for sign in patch_answers.SIGNS}
    shared = shared or Shared(run, layer)
    values = shared.samples.activations[:, number]
    return {
        "run": run.name,
        "version": run.number,
        "model": run.version.about["model"],
        "layer": layer,
        "unit": number,
        "units": run.result("patches", layer).counts["units"],
        "images": run.version.about["listed"] - sum(run.version.about["rejected"].values()),
        "positive": top["positive"],
        "negative": top["negative"],
        "labels": _labels(run, layer, number),
        "samples": _spread(values),
        "intervals": _intervals(run, layer, shared.samples, values, parts, each),
        "alike": _alike(shared, number),
        "classes": _classes(shared, number),
        "drives": influence.influence(run, layer, number, k=LINKS) if run.has("influence", layer) else None,
        "driven": _driven(run, layer, number),
    }


def _labels(run: Run, layer: str, number: int) -> dict[str, Any]:
    """Count the labels of the strongest patches, most frequent first, with the entropy of their shares in bits.

    Patches of value 0, where a rectified unit is off, are left out, as they are when counting images in common.
    """
    patches = run.patches(layer, number, CAPACITY)
    labels = [label for label in patches.filter(pc.not_equal(patches["value"], 0))["label"].to_pylist() if label]
    counts = Counter(labels).most_common()
    return {
        "patches": len(labels),
        "entropy": unit_facts.entropy(np.array([n for _, n in counts], np.int64)),
        "counts": [{"label": label, "patches": n} for label, n in counts],
    }


def _spread(values: Float) -> dict[str, Any] | None:
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


def _intervals(run: Run, layer: str, samples: Samples, values: Float, parts: int, each: int) -> list[dict[str, Any]]:
    """Cut the range of the samples into equal parts, lowest first, with examples of each, strongest first."""
    intervals = unit_facts.intervals(values, parts, each)
    positions = iter(_positions(run, layer, samples, [row for rows in intervals.rows for row in rows.tolist()]))
    return [
        {
            "from": low,
            "to": high,
            "count": count,
            "share": count / len(values),
            "examples": [{"value": float(values[row]), **next(positions)} for row in rows.tolist()],
        }
        for low, high, count, rows in zip(
            intervals.edges[:-1].tolist(),
            intervals.edges[1:].tolist(),
            intervals.count.tolist(),
            intervals.rows,
            strict=True,
        )
    ]


def _positions(run: Run, layer: str, samples: Samples, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return the image, label, position and focus of each sample."""
    chosen, preprocess = np.asarray(rows, np.int64), preprocessing.from_fingerprint(run.model["preprocessing"])
    ids, y, x = samples.image_id[chosen], samples.y[chosen], samples.x[chosen]
    images = {row["image_id"]: row for row in run.images(sorted(set(ids.tolist()))).to_pylist()} if len(ids) else {}
    rows_of_images = [{name: images[i][name] for name in ("image_id", "path", "label")} for i in ids.tolist()]
    focus: list[dict[str, int]] = []
    if rows_of_images:
        field = run.field(layer)
        geometries = [preprocess.geometry(images[i]["width"], images[i]["height"]) for i in ids.tolist()]
        within = boxes.focus_box(field.layer, y, x, field.focus, field.input_shape)
        focus = [dict(zip(SIDES, box, strict=True)) for box in boxes.to_source(within, geometries).tolist()]
    places = zip(rows_of_images, y.tolist(), x.tolist(), focus, strict=True)
    return [{**image, "y": down, "x": across, "focus": box} for image, down, across, box in places]


def _alike(shared: Shared, number: int) -> dict[str, list[dict[str, Any]]]:
    by_mean = unit_facts.similar_units(shared.image_means, number, ALIKE)
    by_image = unit_facts.units_sharing_images(shared.strongest, number, ALIKE)
    return {
        "activation": [{"unit": u, "cosine": c} for u, c in zip(*(column.tolist() for column in by_mean), strict=True)],
        "images": [{"unit": u, "shared": s} for u, s in zip(*(column.tolist() for column in by_image), strict=True)],
    }


def _strongest_images(run: Run, layer: str) -> np.ndarray:
    """Return the images of each unit's strongest patches, `units k`, −1 where there are fewer."""
    result = run.result("patches", layer)
    table = tables.read_table(result.file("patches.parquet"), ["unit", "sign", "rank", "value", "image_id"])
    table = table.filter(pc.and_(pc.equal(table["sign"], "positive"), pc.not_equal(table["value"], 0)))
    unit, rank = table["unit"].to_numpy(), table["rank"].to_numpy()
    images = np.full((result.counts["units"], int(rank.max(initial=-1)) + 1), -1, np.int64)
    images[unit, rank] = table["image_id"].to_numpy()
    return images


def _classes(shared: Shared, number: int) -> dict[str, Any] | None:
    """Return the classes whose attribution over cells correlates most, positively and negatively, with the unit."""
    if shared.attributed is None:
        return None
    (cells, attribution), run = shared.attributed, shared.run
    used = attribution.used > 0
    correlation = unit_facts.weighted_correlation(cells.mean[used, number], attribution.mean[used], cells.count[used])
    order = np.argsort(-correlation, kind="stable")
    sides = {
        "for": [c for c in order[:CLASSES] if correlation[c] > 0],
        "against": [c for c in order[::-1][:CLASSES] if correlation[c] < 0],
    }
    return {"grid": cells.grid, "cells": int(used.sum())} | {
        side: [
            {"class": int(c), "name": classes.class_name(run, int(c)), "correlation": float(correlation[c])}
            for c in chosen
        ]
        for side, chosen in sides.items()
    }


def _driven(run: Run, layer: str, number: int) -> influence.Effects | None:
    """Return the units of an earlier layer that list this one among the units they excite or inhibit most."""
    for earlier in run.layers:
        if not run.has("influence", earlier):
            continue
        table = tables.read_table(run.result("influence", earlier).file("influence.parquet"))
        table = table.filter(pc.and_(pc.equal(table["later_layer"], layer), pc.equal(table["later_unit"], number)))
        if len(table):
            rows = sorted(table.to_pylist(), key=lambda row: -abs(row["influence"]))
            return {
                "layer": earlier,
                "exciting": influence.effects(rows, "exciting", "unit")[:LINKS],
                "inhibiting": influence.effects(rows, "inhibiting", "unit")[:LINKS],
            }
    return None
