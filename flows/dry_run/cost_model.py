"""From what a probe of 64 images took to what a whole run will: one law per stage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from atlas.class_cells import TOP
from atlas.layout.layout import ANCHORS
from flows.dry_run.probe import Cost, Probe
from flows.stages import field, gradients, icons, influence, members, patches

LAYOUT = {"umap": (6.0, 6e-4, 1.1e-4), "tsne": (2.0, 4e-3, 1.1e-4), "pca": (0.0, 1e-5, 1e-5)}
"""Seconds of a layout: to start, per anchor, and per sample beyond the anchors, on two busy cores."""

AVERAGED = 4e-8
"""Seconds to average one number of one sample into its cell."""

MULTIPLIED = 3.5e-11
"""Seconds to add one product of two units of one sample to the second moment."""

FIELD = 0.5
"""What a pass of the measurement of a field takes in passes of collect: it decodes nothing, and ends early."""

PASSES = 3.0
"""What forward mode, or a pass there and back, takes in passes of collect."""

OVERVIEW = "overview.png"

FILLED, CROWDED = 0.8, 10.0
"""Share of a grid's cells that many samples fill, and the samples per cell at which half of that is filled: on 10,000
photographs, four layers, 0.75 of 10 × 10, 0.55 of 20 × 20, and 0.4 of 40 × 40."""

GROWING = ("samples.zarr", "images.parquet", "layout.zarr")
"""Files whose size goes with the number of images; of the others, the first 64 images make as many bytes as a million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a result is made from: images (of its shard, or of the run), samples, layers, units, cells, classes, pixels.

    `together` counts the results of a shard that one pass makes.
    """

    images: int
    together: int
    samples: int
    layers: int
    units: int
    cells: float
    classes: int
    input: tuple[int, int]
    method: str
    per_cell: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Seconds and bytes of one result."""

    seconds: float = 0.0
    bytes: float = 0.0


Law = Callable[[Cost, Size, Probe], Estimate]


def filled(samples: int, grid: int) -> float:
    """Estimate how many cells of a grid so many samples fill."""
    each = samples / grid**2
    return max(1.0, grid**2 * FILLED * each / (each + CROWDED))


NOTHING = Cost(seconds=0.0, bytes={}, counts={})


def estimate(stage: str, layer: str | None, size: Size, probe: Probe) -> Estimate:
    """Scale what a stage took in the probe, for this layer or where that was not tried for another, to a result's size."""
    cost = probe.costs.get((stage, layer)) or next((c for (s, _), c in probe.costs.items() if s == stage), NOTHING)
    return LAWS.get(stage, _as_it_was)(cost, size, probe)


def _as_it_was(cost: Cost, size: Size, probe: Probe) -> Estimate:
    """Of what does not depend on the number of images."""
    return Estimate(seconds=cost.seconds, bytes=sum(cost.bytes.values()))


def _pass(cost: Cost, size: Size, probe: Probe) -> Estimate:
    """Of a shard: its share of a pass over the images."""
    seconds = probe.collect * size.images / max(1, size.together)
    return Estimate(seconds=seconds, bytes=_grown(cost, size.images / probe.images))


def _grown(cost: Cost, times: float) -> float:
    return sum(count * (times if name in GROWING else 1) for name, count in cost.bytes.items())


def _field(cost: Cost, size: Size, probe: Probe) -> Estimate:
    """One pass for every row and column of the input, and one there and back for each image; by layer its share."""
    passes = sum(size.input) / size.layers + PASSES * field.IMAGES
    return Estimate(seconds=FIELD * passes * probe.collect, bytes=sum(cost.bytes.values()))


def _patches(cost: Cost, size: Size, probe: Probe) -> Estimate:
    """By units; and the images of the strongest patches are read once for all layers."""
    winners = min(size.images / size.layers, 2 * patches.THUMBNAILS * size.units)
    made = _times(cost, size.units, cost.counts.get("units", 0))
    more = probe.decode * max(0.0, winners - probe.images / size.layers)
    return Estimate(seconds=made.seconds + more, bytes=made.bytes)


def _layout(cost: Cost, size: Size, probe: Probe) -> Estimate:
    start, anchor, beyond = LAYOUT[size.method]
    seconds = start + anchor * min(size.samples, ANCHORS) + beyond * max(0, size.samples - ANCHORS)
    return Estimate(
        seconds=seconds, bytes=_grown(cost, size.samples / max(1, cost.counts.get("samples", probe.images)))
    )


def _moment(cost: Cost, size: Size, probe: Probe) -> Estimate:
    """What is written is a square of the units, however many samples there are."""
    return Estimate(seconds=cost.seconds + MULTIPLIED * size.samples * size.units**2, bytes=sum(cost.bytes.values()))


def _cells(cost: Cost, size: Size, probe: Probe) -> Estimate:
    return Estimate(
        seconds=cost.seconds + AVERAGED * size.samples * size.units,
        bytes=8 * size.samples + 4 * size.units * size.cells,
    )


def _members(cost: Cost, size: Size, probe: Probe) -> Estimate:
    return _times(cost, min(size.samples, members.PER_CELL * size.cells), cost.counts.get("members", 0))


def _icons(cost: Cost, size: Size, probe: Probe) -> Estimate:
    """Icons are drawn by full batches, padded where they are fewer: the probe's one icon took a whole one."""
    return Estimate(
        seconds=cost.seconds * math.ceil(size.cells / icons.BATCH), bytes=sum(cost.bytes.values()) * size.cells
    )


def _gallery(cost: Cost, size: Size, probe: Probe) -> Estimate:
    """A picture of each unit takes what an icon does."""
    drawn = next((c for (stage, _), c in probe.costs.items() if stage == "icons"), cost)
    return _icons(drawn, replace(size, cells=size.units), probe)


def _tiles(cost: Cost, size: Size, probe: Probe) -> Estimate:
    """The overview is of one size, whatever is on it."""
    tiles = sum(count for name, count in cost.bytes.items() if name != OVERVIEW)
    return Estimate(seconds=cost.seconds, bytes=cost.bytes.get(OVERVIEW, 0) + tiles * size.cells)


def _times(cost: Cost, wanted: float, counted: int) -> Estimate:
    times = wanted / max(1, counted)
    return Estimate(seconds=times * cost.seconds, bytes=times * sum(cost.bytes.values()))


def _attribution(cost: Cost, size: Size, probe: Probe) -> Estimate:
    used = min(size.samples, (size.per_cell or size.samples) * size.cells)
    return Estimate(
        seconds=PASSES * probe.collect * used, bytes=4 * size.classes * size.cells + 8 * TOP * used + 8 * used
    )


def _influence(cost: Cost, size: Size, probe: Probe) -> Estimate:
    return Estimate(
        seconds=PASSES * probe.collect * influence.PATCHES * size.units, bytes=40 * influence.CONNECTIONS * size.units
    )


def _gradients(cost: Cost, size: Size, probe: Probe) -> Estimate:
    drawn = gradients.PATCHES * size.units
    return Estimate(seconds=PASSES * probe.collect * drawn, bytes=3 * patches.SIZE**2 * drawn)


LAWS: dict[str, Law] = {
    "images": _pass,
    "field": _field,
    "collect": _pass,
    "patches": _patches,
    "moment": _moment,
    "layout": _layout,
    "cells": _cells,
    "members": _members,
    "icons": _icons,
    "tiles": _tiles,
    "attribution": _attribution,
    "influence": _influence,
    "gradients": _gradients,
    "gallery": _gallery,
}
"""Stages that are not here (model) take what they took in the probe."""
