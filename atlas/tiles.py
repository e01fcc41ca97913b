"""Compose the icons of a grid into one picture, each sized by its cell's density."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atlas.arrays import Byte, Cells, Icons

BACKGROUND = 64
"""Grey level between the icons, on which both black and white icons stand out."""

GAP = 1
"""Pixels of background between two full-size icons."""

DENSITY = 1.0
"""Factor on the density of cells; the published atlas lets its reader choose 0.2 to 8."""

SMALLEST = 0.25
"""Smallest side of an icon, relative to its cell, so that every icon remains visible."""


def sides(counts: NDArray[np.int64], grid: int, cell: int, density: float = DENSITY) -> NDArray[np.int64]:
    """Return the side in pixels of each cell's icon in a cell of `cell` pixels, `GAP` of them free.

    The published rule (distillpub/post--activation-atlas, `Atlas.html`): cell · min(1, √(density · n / average)), where
    the average is over all grid² cells; here at least a quarter of the cell.
    """
    average = counts.sum() / grid**2
    part = np.sqrt(density * counts / average) if average > 0 else np.ones(len(counts))
    return np.maximum(1, np.rint((cell - GAP) * np.clip(part, SMALLEST, 1))).astype(np.int64)


def strips(
    cells: Cells, icons: Icons, *, cell: int | None = None, density: float = DENSITY, background: int = BACKGROUND
) -> Iterator[Byte]:
    """Draw the grid from the top, one row of cells at a time: arrays `cell grid·cell 3`.

    By default a cell has the size of an icon plus the gap, so that full-size icons are drawn pixel by pixel; smaller
    ones are resampled (Lanczos) and centred. Raises ValueError if icons and cells do not match.
    """
    pictures = icons.pictures
    cell = pictures.shape[1] + GAP if cell is None else cell
    if len(pictures) != len(cells.row):
        raise ValueError(f"{len(pictures)} icons for {len(cells.row)} cells")
    if cell <= GAP:
        raise ValueError(f"a cell of {cell} px has no room for an icon; give at least {GAP + 1}")
    side = sides(cells.count, cells.grid, cell, density)
    for row in range(cells.grid):
        strip = np.full((cell, cells.grid * cell, 3), background, np.uint8)
        for i in np.flatnonzero(cells.row == row):
            _draw(strip, pictures[i], int(cells.col[i]) * cell, int(side[i]))
        yield strip


def overview(cells: Cells, icons: Icons, *, size: int = 2000, density: float = DENSITY) -> Byte:
    """Draw the whole grid as one picture, `s s 3`: the largest with cells of whole pixels and s ≤ `size`."""
    if size // cells.grid <= GAP:
        raise ValueError(f"{size} px are too few for {cells.grid} cells; give at least {(GAP + 1) * cells.grid}")
    return np.concatenate(list(strips(cells, icons, cell=size // cells.grid, density=density)))


def _draw(strip: Byte, picture: Byte, left: int, side: int) -> None:
    """Draw a picture `s s 3` at the given side, centred in the cell that begins at column `left`."""
    if side != picture.shape[0]:
        picture = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))
    inset = (strip.shape[0] - side) // 2
    strip[inset : inset + side, left + inset : left + inset + side] = picture
