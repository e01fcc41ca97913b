"""A cell's parent is the cell of the coarser grid that holds its centre."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from atlas import cells
from atlas.cells import parent_grid, parent_rows


def by_hand(grid: int, coarse: int, held: set[tuple[int, int]]) -> list[tuple[int, int] | None]:
    """Return the parent of every cell of a grid, by exact fractions."""
    found: list[tuple[int, int] | None] = []
    for row in range(grid):
        for col in range(grid):
            centre = [Fraction(2 * at + 1, 2 * grid) for at in (row, col)]
            inside = [
                (r, c)
                for r, c in held
                if Fraction(r, coarse) <= centre[0] < Fraction(r + 1, coarse)
                and Fraction(c, coarse) <= centre[1] < Fraction(c + 1, coarse)
            ]
            found.append(inside[0] if inside else None)
    return found


def wrong(grid: int) -> int:
    """Count the cells whose parent is another one than by hand; a third of the coarser grid's cells are empty."""
    coarse = int(parent_grid(grid) or 0)
    places = [(r, c) for r in range(coarse) for c in range(coarse) if (r + 2 * c) % 3]
    row, col = (part.ravel() for part in np.mgrid[:grid, :grid].astype(np.int32))
    coarse_row, coarse_col = np.array(places, dtype=np.int32).T
    got = parent_rows(row, col, grid, coarse_row, coarse_col, coarse)
    expected = [-1 if place is None else places.index(place) for place in by_hand(grid, coarse, set(places))]
    return int((got != expected).sum())


@pytest.mark.parametrize("grid", [15, 16, 19, 20])
def test_the_parent_holds_the_centre(grid: int) -> None:
    assert wrong(grid) == 0


def test_mutant_the_parent_of_a_corner_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = cells.parent_rows

    def corner(row: np.ndarray, col: np.ndarray, grid: int, *coarse: object) -> np.ndarray:
        return real(np.maximum(row - 1, 0), col, grid, *coarse)  # type: ignore[arg-type]

    monkeypatch.setitem(globals(), "parent_rows", corner)
    assert wrong(19) > 0


def test_chains_end_at_eight() -> None:
    assert [parent_grid(grid) for grid in (80, 40, 31, 20, 16, 15, 14, 10, 1)] == [
        40,
        20,
        16,
        10,
        8,
        8,
        None,
        None,
        None,
    ]
