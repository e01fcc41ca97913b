"""The contrast of a cell's real patches: where it is low, they are flat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storage.artefacts import cells, pictures, tables
from storage.run import Run

FLAT = 0.05
"""Contrast below which a cell's patches are flat: one plain colour, or a soft gradient."""


def of_patches(encoded: Sequence[bytes]) -> float | None:
    """Return the median, over patches, of the standard deviation of their pixels, 0 to 1; None without patches."""
    patches = [pictures.decode(data) for data in encoded]
    return float(np.median([patch.std(axis=(0, 1)).mean() / 255 for patch in patches])) if patches else None


def of_cells(run: Run, layer: str, grid: int) -> np.ndarray:
    """Return the contrast of each cell of a grid, NaN for cells without patches."""
    members = tables.read_table(run.result("members", layer, grid).file("members.parquet"), ["row", "col", "picture"])
    encoded: dict[tuple[int, int], list[bytes]] = {}
    for row, col, picture in zip(*(members[name].to_pylist() for name in ("row", "col", "picture")), strict=True):
        encoded.setdefault((row, col), []).append(picture)
    rows, cols = (cells.array(run.result("cells", layer, grid), name).tolist() for name in ("row", "col"))
    contrast = [of_patches(encoded.get(place, [])) for place in zip(rows, cols, strict=True)]
    return np.asarray([np.nan if value is None else value for value in contrast])


def flat(run: Run, layer: str, grid: int) -> np.ndarray:
    """Tell which cells of a grid have flat patches."""
    return np.asarray(of_cells(run, layer, grid) < FLAT)
