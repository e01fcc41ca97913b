"""How good a run's icons are: whitened cosine, own-cell rank and tries, per layer and grid.

python benchmarks/icons.py STORE NAME
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from storage.run import open_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("name")
    args = parser.parse_args()
    run = open_run(args.store, args.name)
    for layer in run.layers:
        for grid in run.grids:
            cells = run.cells(layer, grid)
            row = {
                "layer": layer,
                "grid": grid,
                "cells": len(cells.row),
                "cosine_median": round(float(np.median(cells.cosine)), 3),
                "cosine_p10": round(float(np.quantile(cells.cosine, 0.1)), 3),
                "own_cell_first": round(float((cells.rank == 1).mean()), 4),
                "weak": int(cells.weak.sum()),
                "tries_mean": round(float(cells.tries.mean()), 2),
                "coherence_median": round(float(np.median(cells.coherence)), 3),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
