"""Describe a comparison of two datasets, for the command line and Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import numpy as np

from atlas.arrays import Int
from atlas.cells import cell_of
from atlas.comparing import placing, two_samples
from atlas.comparing.datasets import GridDensity, UnitShifts
from atlas.comparing.two_samples import Ratios
from flows.comparing.cell_changes import plain
from flows.comparing.datasets.answer_types import (
    CellDensity,
    DatasetComparison,
    DatasetLayer,
    Densities,
    LabelChange,
    ListedImage,
    Shift,
    UnitShift,
    Unlike,
)
from flows.comparing.datasets.labels import LabelChanges
from flows.comparing.datasets.measure import LayerDifference
from flows.comparing.datasets.pair import Datasets
from flows.comparing.pairs import version_name
from storage.run import Run

IMAGES = 12
"""Images listed of those that make a cell, or that are unlike the reference."""

STATES = ("even", "denser", "thinner", "appeared", "emptied")
"""Of a cell, by what is beyond chance: nothing; more or fewer samples; and where only one dataset has the cell."""

RULE = (
    f"p: {two_samples.PERMUTATIONS:,} permutations of whole images; beyond chance: Benjamini–Hochberg at "
    f"{two_samples.LEVEL:.0%} over the cells of a grid, the units, the labels; intervals: 95 %, over images"
)


def describe(compared: Datasets, layers: Sequence[LayerDifference]) -> DatasetComparison:
    """Return both datasets and their differences by layer; units, cells and labels with the largest first."""
    return {
        "datasets": [
            {
                "run": run.name,
                "version": run.number,
                "model": run.version.about["model"],
                "weights": run.version.about["config"].get("weights"),
                "images": max(len(layer.measured.sides[number].ids) for layer in layers),
            }
            for number, run in enumerate(compared.runs)
        ],
        "shared_images": compared.shared,
        "rule": RULE,
        "left_out": [{"layer": layer, "missing": [version_name(compared.runs[1])]} for layer in compared.left_out],
        "layers": [_layer(layer) for layer in layers],
    }


def _layer(layer: LayerDifference) -> DatasetLayer:
    shift = np.abs(layer.measured.units.shifts.shift[layer.measured.units.beyond])
    return {
        "layer": layer.layer,
        "images": [len(one.ids) for one in layer.measured.sides],
        "samples": [len(one.image) for one in layer.measured.sides],
        "p": layer.measured.p,
        "p_units": layer.measured.units.whole,
        "p_peaks": None if layer.measured.peaks is None else layer.measured.peaks.whole,
        "p_neighbours": layer.measured.neighbours,
        "shift": float(shift.max(initial=0)),
        "unlike": _unlike(layer),
        "cells": {str(grid): _densities(layer, grid) for grid in layer.measured.grids},
        "units": _units(layer),
        "labels": [] if layer.labels is None else _labels(layer.labels),
    }


def _densities(layer: LayerDifference, grid: int) -> Densities:
    cells = list(_cells(layer, grid))
    names = [cell["state"] for cell in cells]
    return {
        "even": names.count("even"),
        "denser": names.count("denser"),
        "thinner": names.count("thinner"),
        "appeared": names.count("appeared"),
        "emptied": names.count("emptied"),
        "cells": cells,
    }


def states(layer: LayerDifference, grid: int) -> list[str]:
    """Return the state of each cell of a grid: one of `STATES`.

    A dataset has a cell if its share of samples there is at least that of the smallest cell of A's atlas.
    """
    density = layer.measured.grids[grid]
    least = layer.least / len(layer.measured.sides[0].image)
    a, b = density.ratios.first, density.ratios.second
    slack = 1 - two_samples.ROUNDING
    more = np.where(a < least * slack, "appeared", "denser")
    fewer = np.where(b < least * slack, "emptied", "thinner")
    names: list[str] = np.where(density.beyond, np.where(b > a, more, fewer), "even").tolist()
    return names


def _cells(layer: LayerDifference, grid: int) -> Iterator[CellDensity]:
    density, names = layer.measured.grids[grid], states(layer, grid)
    columns = _ratio_columns(density.ratios)
    makers = [_makers(layer, grid, number, name) for number, name in enumerate(names)]
    listed = [_listed(run, _ids(makers, names, side)) for side, run in enumerate(layer.runs)]
    for number in _order(density, names):
        cell, images = int(density.cell[number]), listed[_side(names[number])]
        yield {
            "row": cell // grid,
            "col": cell % grid,
            "samples": density.count[number].tolist(),
            "shares": [float(density.ratios.first[number]), float(density.ratios.second[number])],
            "ratio": columns[0][number],
            "low": columns[1][number],
            "high": columns[2][number],
            "p": float(density.p[number]),
            "state": names[number],
            "makers": len(makers[number]),
            "images": [{**images[image], "samples": count} for image, count in makers[number][:IMAGES]],
        }


def _ratio_columns(ratios: Ratios) -> list[list[float | None]]:
    return [plain(values) for values in (ratios.ratio, ratios.low, ratios.high)]


def _order(density: GridDensity, names: Sequence[str]) -> list[int]:
    """Order cells: those that only one dataset has, the others beyond chance, the rest; by the difference of the shares."""
    rank = np.array([2 if name == "even" else 0 if name in ("appeared", "emptied") else 1 for name in names])
    difference = np.abs(density.ratios.second - density.ratios.first)
    order: list[int] = np.lexsort((density.cell, -difference, rank)).tolist()
    return order


def _side(state: str) -> int:
    """Return which dataset makes a cell of this state: the one with more samples there."""
    return 0 if state in ("thinner", "emptied") else 1


def _makers(layer: LayerDifference, grid: int, number: int, state: str) -> list[tuple[int, int]]:
    """Return the images that make a cell beyond chance, with their samples in it: most first, then by id."""
    if state == "even":
        return []
    one = layer.measured.sides[_side(state)]
    inside = cell_of(one.placed.points, grid) == layer.measured.grids[grid].cell[number]
    image, count = np.unique(one.image[inside], return_counts=True)
    order = np.lexsort((image, -count))
    return list(zip(one.ids[image[order]].tolist(), count[order].tolist(), strict=True))


def _ids(makers: Sequence[Sequence[tuple[int, int]]], names: Sequence[str], side: int) -> Iterator[int]:
    """Yield the images to list of the cells that a dataset makes."""
    for images, name in zip(makers, names, strict=True):
        if _side(name) == side:
            yield from (image for image, _ in images[:IMAGES])


def _listed(run: Run, ids: Iterable[int]) -> dict[int, ListedImage]:
    """Return names and paths of these images, by id."""
    wanted = sorted(set(ids))
    rows = run.images(wanted).select(["image_id", "key", "path", "label"]).to_pylist() if wanted else []
    return {row["image_id"]: cast(ListedImage, row) for row in rows}


def _units(layer: LayerDifference) -> list[UnitShift]:
    """Return the units, largest shift first."""
    units, peaks = layer.measured.units, layer.measured.peaks
    order = np.lexsort((np.arange(len(units.p)), -np.abs(units.shifts.shift)))
    return [
        {"unit": unit, **_shift(units, unit), "peak": None if peaks is None else _shift(peaks, unit)}
        for unit in order.tolist()
    ]


def _shift(units: UnitShifts, unit: int) -> Shift:
    return {
        "shift": float(units.shifts.shift[unit]),
        "low": float(units.shifts.low[unit]),
        "high": float(units.shifts.high[unit]),
        "p": float(units.p[unit]),
        "beyond": bool(units.beyond[unit]),
    }


def _labels(labels: LabelChanges) -> list[LabelChange]:
    """Return the labels: those with a share beyond chance first, then by the difference of the shares."""
    columns = _ratio_columns(labels.ratios)
    shift, shift_p = plain(labels.shift), plain(labels.shift_p)
    difference = np.abs(labels.ratios.second - labels.ratios.first)
    return [
        {
            "label": labels.names[number],
            "images": labels.count[number].tolist(),
            "shares": [float(labels.ratios.first[number]), float(labels.ratios.second[number])],
            "ratio": columns[0][number],
            "low": columns[1][number],
            "high": columns[2][number],
            "p": float(labels.p[number]),
            "beyond": bool(labels.beyond[number]),
            "shift": shift[number],
            "shift_p": shift_p[number],
            "shift_beyond": bool(labels.shift_beyond[number]),
        }
        for number in np.lexsort((-difference, ~labels.beyond)).tolist()
    ]


def _unlike(layer: LayerDifference) -> Unlike:
    """Compare distances to A's samples; list B's images by their farthest sample."""
    sets = layer.measured.sides
    least = float(np.quantile(sets[0].placed.distance, placing.STRANGE))
    farthest = np.zeros(len(sets[1].ids))
    np.maximum.at(farthest, sets[1].image, sets[1].placed.distance)
    beyond = np.flatnonzero(farthest > least)
    order: Int = beyond[np.lexsort((sets[1].ids[beyond], -farthest[beyond]))]
    first = dict(zip(sets[1].ids[order[:IMAGES]].tolist(), farthest[order].tolist(), strict=False))
    listed = _listed(layer.runs[1], first)
    return {
        "shares": [float((one.placed.distance > least).mean()) for one in sets],
        "outliers": len(order),
        "images": [
            {**listed[image], "distance": distance / least if least > 0 else None} for image, distance in first.items()
        ],
    }
