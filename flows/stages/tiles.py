"""Tiles: one grid's icons as a Deep Zoom pyramid, and as one picture for people."""

from __future__ import annotations

from atlas import tiles
from atlas.arrays import Cells, Icons
from flows.stages import cells, icons
from flows.stages.tasks import Outcome, Task
from flows.stages.writing import drafting, outcome
from storage.artefacts import arrays, pictures
from storage.store.store import Store


def compute(store: Store, task: Task) -> list[Outcome]:
    """Draw the grid, each cell sized by its density."""
    output = task.outputs[0]
    group = arrays.read_group(store.get("cells", task.reads["cells"]).path / "cells.zarr")
    found = Cells(grid=int(output.grid or 0), **{name: group[name] for name in cells.FIELDS})
    group = arrays.read_group(store.get("icons", task.reads["icons"]).path / "icons.zarr")
    made = Icons(**{name: group[name] for name in icons.FIELDS})
    with drafting(store, output) as page:
        side = found.grid * (made.pictures.shape[1] + tiles.GAP)
        pictures.write_pyramid(tiles.strips(found, made), page.path / "atlas", size=(side, side))
        pictures.write_png(tiles.overview(found, made), page.path / "overview.png")
        page.counts = {"cells": len(found.row)}
    return [outcome(page)]
