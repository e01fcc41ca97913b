"""Tiles: one grid's icons as a Deep Zoom pyramid, and as one picture for people."""

from __future__ import annotations

from atlas import tiles
from atlas.arrays import Cells, Icons
from flows.stages import cells, icons
from flows.stages.tasks import Outcome, Work
from flows.stages.writing import outcome, writing
from storage.artefacts import arrays, pictures
from storage.store.store import Store


def compute(store: Store, work: Work) -> list[Outcome]:
    """Draw the grid, each cell sized by its density."""
    make = work.makes[0]
    group = arrays.read_group(store.get("cells", work.reads["cells"]).path / "cells.zarr")
    found = Cells(grid=int(make.grid or 0), **{name: group[name] for name in cells.FIELDS})
    group = arrays.read_group(store.get("icons", work.reads["icons"]).path / "icons.zarr")
    made = Icons(**{name: group[name] for name in icons.FIELDS})
    with writing(store, make) as page:
        side = found.grid * (made.pictures.shape[1] + tiles.GAP)
        pictures.write_pyramid(tiles.strips(found, made), page.path / "atlas", size=(side, side))
        pictures.write_png(tiles.overview(found, made), page.path / "overview.png")
        page.counts = {"cells": len(found.row)}
    return [outcome(page)]
