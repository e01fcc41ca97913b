"""How good a run's icons are: whitened cosine, own-cell rank and tries, per layer and grid.

    python benchmarks/icons.py STORE NAME
    python benchmarks/icons.py STORE NAME --layer _blocks.10 --grid 20 --draw 64
    python benchmarks/icons.py STORE NAME --layer _blocks.10 --grid 20 --draw 64 --fault wrong-parent

The second draws some icons of a grid again, by the run's recipe and one try, from noise and from the icons of the coarser grid,
which the run must have, with the processor time and steps of each. With the fault each starts from another cell's parent:
if the start showed and not the cell, its cosine would fall.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from numpy.typing import NDArray

from atlas.cells import parent_grid, parent_rows
from atlas.inversion.icons import icons
from atlas.inversion.pool import Starts
from atlas.inversion.recipes import ICON_RECIPES
from atlas.inversion.whitening import second_moment
from atlas.model.activations import probe
from atlas.model.folding import fold
from storage.models import load
from storage.run import Run, open_run

Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("name")
    parser.add_argument("--layer")
    parser.add_argument("--grid", type=int)
    parser.add_argument("--draw", type=int, metavar="N", help="draw N icons of --layer and --grid again")
    parser.add_argument("--fault", choices=["wrong-parent"])
    args = parser.parse_args()
    run = open_run(args.store, args.name)
    for row in drawn(run, args) if args.draw else stored(run):
        print(json.dumps(row), flush=True)


def stored(run: Run) -> list[Row]:
    """Give the figures of each layer and grid."""
    return [row(run, layer, grid) for layer in run.layers for grid in run.grids]


def row(run: Run, layer: str, grid: int) -> Row:
    """Give the figures of a grid's icons."""
    cells = run.cells(layer, grid)
    return {
        "layer": layer,
        "grid": grid,
        "cells": len(cells.row),
        **figures(cells.cosine, cells.rank),
        "weak": int(cells.weak.sum()),
        "tries_mean": round(float(cells.tries.mean()), 2),
        "coherence_median": round(float(np.median(cells.coherence)), 3),
    }


def figures(cosine: NDArray[np.floating], rank: NDArray[np.int64]) -> Row:
    """Give median and 10th percentile of the cosines, and the share of icons nearest to their own cell."""
    return {
        "cosine_median": round(float(np.median(cosine)), 3),
        "cosine_p10": round(float(np.quantile(cosine, 0.1)), 3),
        "own_cell_first": round(float((rank == 1).mean()), 4),
    }


def drawn(run: Run, args: argparse.Namespace) -> list[Row]:
    """Draw some icons from noise and from their starts, spread evenly over the cells."""
    cells = run.cells(args.layer, args.grid)
    rows = np.unique(np.linspace(0, len(cells.row) - 1, args.draw).astype(np.int64))
    ways = {"noise": None, args.fault or "parent": starts(run, args)}
    return [{"from": name, "cells": len(rows), **draw(run, args, rows, start)} for name, start in ways.items()]


def starts(run: Run, args: argparse.Namespace) -> Starts:
    """Give the icons of the parent cells; with the fault, each cell has the parent half of all parents further."""
    coarse = parent_grid(args.grid)
    if coarse not in run.grids:
        raise SystemExit(f"icons of grid {args.grid} start from those of {coarse}; the run has {run.grids}")
    cells, parents = run.cells(args.layer, args.grid), run.cells(args.layer, int(coarse or 0))
    of = parent_rows(cells.row, cells.col, args.grid, parents.row, parents.col, parents.grid)
    if args.fault:
        of = np.where(of < 0, of, (of + len(parents.row) // 2) % len(parents.row))
    return Starts(parents.icon, of)


def draw(run: Run, args: argparse.Namespace, rows: NDArray[np.int64], start: Starts | None) -> Row:
    """Draw icons, one try each; give their figures with processor time and steps."""
    cells, model, recipe = (
        run.cells(args.layer, args.grid),
        load(run.model["spec"]),
        run.version.about["config"]["recipe"],
    )
    example = torch.rand(model.preprocess.channels, *model.preprocess.size)
    layer = probe(model.module, example, [args.layer])[args.layer]
    began = time.process_time()
    made = icons(
        fold(model.module, example).to("cpu"),
        layer,
        cells.mean,
        second_moment([run.samples(args.layer).activations], layer.units),
        recipe=ICON_RECIPES[recipe],
        seeds=np.arange(len(cells.mean)),
        mean=model.mean,
        std=model.std,
        size=cells.icon.shape[1],
        tries=1,
        starts=start,
        only=rows,
    )
    seconds = (time.process_time() - began) / len(rows)
    return {**figures(made.cosine, made.rank), "steps": round(made.steps / len(rows), 1), "seconds": round(seconds, 3)}


if __name__ == "__main__":
    main()
