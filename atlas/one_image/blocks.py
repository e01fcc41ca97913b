"""Group a layer's positions into blocks, so that a large grid can be displayed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int

Double = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Positions `h w` cut into rows and columns of blocks; `top` and `left` are the first position of each, and the end.

    Every position is in exactly one block, so a sum over blocks equals the sum over positions.
    """

    top: Int
    left: Int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.top) - 1, len(self.left) - 1

    def sums(self, maps: NDArray[np.floating]) -> Double:
        """Return the sum over each block, `… r q`, of maps `… h w`."""
        wide = np.asarray(maps, dtype=np.float64)
        return np.asarray(np.add.reduceat(np.add.reduceat(wide, self.top[:-1], -2), self.left[:-1], -1))

    def means(self, maps: NDArray[np.floating]) -> Double:
        """Return the mean over each block, `… r q`, of maps `… h w`."""
        return np.asarray(self.sums(maps) / np.outer(np.diff(self.top), np.diff(self.left)))

    def mask(self, number: int) -> NDArray[np.bool_]:
        """Return a mask `h w` of the positions in a block, blocks numbered along the rows."""
        row, col = divmod(number, self.shape[1])
        inside = np.zeros((int(self.top[-1]), int(self.left[-1])), dtype=bool)
        inside[self.top[row] : self.top[row + 1], self.left[col] : self.left[col + 1]] = True
        return inside


def blocks(height: int, width: int, max_side: int) -> Blocks:
    """Cut a grid into at most `max_side` blocks a side, as equal as possible; small grids have one block per position.

    Raises ValueError for less than one block.
    """
    if max_side < 1:
        raise ValueError(f"a grid is shown in at least 1 block a side, not {max_side}")
    return Blocks(top=_edges(height, min(height, max_side)), left=_edges(width, min(width, max_side)))


def icon_sides(norm: Double | Float) -> Double:
    """Return the relative side of each icon, 0 … 1: its area is proportional to the norm, and the largest has side 1.

    Olah et al. 2018 scale the area of a cell by the magnitude of its activation.
    """
    largest = float(np.max(norm, initial=0.0))
    return np.sqrt(np.asarray(norm, dtype=np.float64) / largest) if largest > 0 else np.zeros(np.shape(norm))


def _edges(length: int, parts: int) -> Int:
    return np.arange(parts + 1, dtype=np.int64) * length // parts
