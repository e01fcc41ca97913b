"""Locate the positions of an image in the cells of an atlas."""

from __future__ import annotations

from collections import Counter

import numpy as np

from flows.model.images import read_image
from flows.model.published import activation_of
from flows.one_image.answers import Located, LocatedPosition
from storage.errors import NotFound, Rejected
from storage.run import Run, open_run


def locate(store: str, name: str, layer: str, image: str, grid: int | None) -> Located:
    """Return the cells of the positions of an image, given as a file or as an id of the run."""
    run = open_run(store, name)
    if layer not in run.layers:
        raise NotFound(f"{run.name} has no layer {layer!r}; it has {', '.join(run.layers)}")
    if not run.grids:
        raise NotFound(f"{run.name} has no grids: it has too few samples")
    try:
        activation = activation_of(run, layer, read_image(run, image))
    except Rejected as error:
        raise Rejected(error.reason, f"{error.detail} ({image})") from None
    return locate_activation(run, layer, activation.numpy(), grid or run.grids[-1])


def locate_activation(run: Run, layer: str, activation: np.ndarray, grid: int) -> Located:
    """Return the cell of each position of an image; `activation` is that of the image at the layer, `c h w`.

    A position is placed in the layout like the samples beyond the anchors: among its nearest samples (FAISS).
    """
    from atlas.cells import cell_of
    from atlas.layout import locate as locating

    units, height, width = activation.shape
    cells = run.cell_facts(layer, grid)

    def plan_layer() -> locating.Anchors:
        return locating.anchors((part.activations for part in run.samples_by_shard(layer)), run.layout(layer))

    plan = run.cache.get(("plan", layer), plan_layer, lambda plan: plan.nbytes)
    points = locating.locate(plan, activation.reshape(units, -1).T)
    known = set(zip(cells.row.tolist(), cells.col.tolist(), strict=True))
    positions: list[LocatedPosition] = []
    for index, number in enumerate(cell_of(points, grid).tolist()):
        cell, (x, y) = divmod(number, grid), points[index].tolist()
        positions.append(
            {
                "y": index // width,
                "x": index % width,
                "cell": cell if cell in known else None,
                "point": (round(x, 4), round(y, 4)),
            }
        )
    counts = Counter(p["cell"] for p in positions if p["cell"])
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "grid": grid,
        "height": height,
        "width": width,
        "cells": [{"row": row, "col": col, "positions": n} for (row, col), n in counts.most_common()],
        "positions": positions,
    }
