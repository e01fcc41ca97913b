"""Collect everything a run knows about one unit: for the unit card, Python and the viewer.

Importing this module loads neither torch nor prefect.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, NotRequired

import numpy as np
import pyarrow.compute as pc
from typing_extensions import TypedDict

from atlas import unit_facts
from atlas.arrays import CAPACITY, CellClasses, Float, Samples
from atlas.map_correlation import Maps
from flows.questions import classes, influence, meaning, names, runs, unit_samples
from flows.questions import patches as patch_answers
from flows.questions.names import NameShare, Standing
from storage.artefacts import tables
from storage.artefacts.cells import RunCells
from storage.run import Run

PATCHES, ALIKE, CLASSES, LINKS = 9, 6, 5, 5
PARTS, EACH = 10, 4


class LabelCount(TypedDict):
    """A label, and how many of the patches have it."""

    label: str
    patches: int


class LabelCounts(TypedDict):
    """The labels of a unit's strongest patches, most frequent first, with the entropy of their shares in bits.

    `stand_out` are those more frequent there than chance explains, the largest lift over the run's images first.
    """

    patches: int
    entropy: float
    counts: list[LabelCount]
    stand_out: list[NameShare]


class UnitCosine(TypedDict):
    """Another unit, and the cosine of both units' means over images."""

    unit: int
    cosine: float


class UnitShared(TypedDict):
    """Another unit, and the share of their strongest images that both have."""

    unit: int
    shared: float


class Alike(TypedDict):
    """The units of the layer most like this one, by activation and by strongest images."""

    activation: list[UnitCosine]
    images: list[UnitShared]


ClassCorrelation = TypedDict("ClassCorrelation", {"class": int, "name": str, "correlation": float})
"""A class, and the correlation of the unit with its attribution over the cells."""

UnitClasses = TypedDict(
    "UnitClasses",
    {
        "grid": int,
        "cells": int,
        "bound": float | None,
        "permuted": float | None,
        "for": list[ClassCorrelation],
        "against": list[ClassCorrelation],
    },
)
"""The classes whose attribution rises and falls with the unit over the cells of a grid.

`bound` is the correlation that any class reaches in 95 % of cases by chance, where the map is shifted and mirrored;
`permuted` the same where its cells are permuted. None where there are too few cells to tell.
"""


class Unit(TypedDict):
    """The facts of a unit, as `unit` lists them; `method` is that of the gradients on its card, where this is drawn."""

    run: str
    version: int
    model: str
    layer: str
    unit: int
    units: int
    images: int
    positive: patch_answers.TopPatches
    negative: patch_answers.TopPatches
    labels: LabelCounts
    meaning: meaning.MeaningScores | None
    samples: unit_samples.Spread | None
    intervals: list[unit_samples.Interval]
    alike: Alike
    classes: UnitClasses | None
    drives: influence.Influence | None
    driven: influence.Effects | None
    method: NotRequired[str | None]


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
    def names(self) -> Standing:
        """The labels that stand out among each unit's strongest patches."""
        return names.of_units(self.run, self.layer)

    @functools.cached_property
    def attributed(self) -> tuple[RunCells, CellClasses] | None:
        """The cells of the finest grid with an attribution, and that attribution."""
        grids = [grid for grid in self.run.grids if self.run.has("attribution", self.layer, grid)]
        if not grids:
            return None
        return self.run.cells(self.layer, grids[-1]), self.run.attribution(self.layer, grids[-1])

    @functools.cached_property
    def class_maps(self) -> Maps | None:
        """The maps of all classes, to correlate that of a unit with."""
        return self._maps(self.attributed[1].mean) if self.attributed else None

    @functools.cached_property
    def unit_maps(self) -> Maps | None:
        """The maps of all units over the cells with an attribution, to correlate that of a class with."""
        return self._maps(self.attributed[0].mean) if self.attributed else None

    def _maps(self, means: Float) -> Maps | None:
        if self.attributed is None:
            return None
        cells, used = self.attributed[0], self.attributed[1].used > 0
        return Maps(means[used], cells.count[used], cells.row[used].astype(np.int64), cells.col[used].astype(np.int64))


def unit(
    run: Run,
    layer: str,
    number: int,
    *,
    k: int = PATCHES,
    parts: int = PARTS,
    each: int = EACH,
    shared: Shared | None = None,
) -> Unit:
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
        "images": runs.images_of_units(run),
        "positive": top["positive"],
        "negative": top["negative"],
        "labels": _labels(shared, number),
        "meaning": meaning.of_unit(run, layer, number),
        "samples": unit_samples.spread(values),
        "intervals": unit_samples.intervals(run, layer, shared.samples, values, parts, each),
        "alike": _alike(shared, number),
        "classes": _classes(shared, number),
        "drives": influence.influence(run, layer, number, k=LINKS) if run.has("influence", layer) else None,
        "driven": _driven(run, layer, number),
    }


def links(answer: Unit) -> Iterator[tuple[Literal["driven", "drives"], str, list[influence.Effect]]]:
    """Yield the units that drive a unit, and those that it drives, with their layer; nothing that is not known."""
    if (driven := answer["driven"]) is not None:
        yield "driven", driven["layer"], driven["exciting"] + driven["inhibiting"]
    if (drives := answer["drives"]) is not None:
        yield "drives", drives["later_layer"], drives["exciting"] + drives["inhibiting"]


def _labels(shared: Shared, number: int) -> LabelCounts:
    """Count the labels of the strongest patches, most frequent first, with the entropy of their shares in bits.

    Patches of value 0, where a rectified unit is off, are left out, as they are when counting images in common.
    """
    patches = shared.run.patches(shared.layer, number, CAPACITY)
    labels = [label for label in patches.filter(pc.not_equal(patches["value"], 0))["label"].to_pylist() if label]
    counts = Counter(labels).most_common()
    return {
        "patches": len(labels),
        "entropy": unit_facts.entropy(np.array([n for _, n in counts], np.int64)),
        "counts": [{"label": label, "patches": n} for label, n in counts],
        "stand_out": shared.names.of_group[number],
    }


def _alike(shared: Shared, number: int) -> Alike:
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


def _classes(shared: Shared, number: int) -> UnitClasses | None:
    """Return the classes whose attribution over cells correlates most, positively and negatively, with the unit."""
    if shared.attributed is None or shared.class_maps is None:
        return None
    (cells, attribution), run = shared.attributed, shared.run
    used = attribution.used > 0
    correlation = unit_facts.weighted_correlation(cells.mean[used, number], attribution.mean[used], cells.count[used])
    order = np.argsort(-correlation, kind="stable")
    chance = shared.class_maps.chance(cells.mean[used, number])

    def rows(chosen: Iterable[int]) -> list[ClassCorrelation]:
        return [{"class": c, "name": classes.class_name(run, c), "correlation": float(correlation[c])} for c in chosen]

    return {
        "grid": cells.grid,
        "cells": int(used.sum()),
        "bound": patch_answers.finite(chance.moved),
        "permuted": patch_answers.finite(chance.permuted),
        "for": rows(c for c in order[:CLASSES].tolist() if correlation[c] > 0),
        "against": rows(c for c in order[::-1][:CLASSES].tolist() if correlation[c] < 0),
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
