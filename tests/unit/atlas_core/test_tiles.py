"""Tiles against arrays made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from atlas import tiles
from atlas.arrays import Cells, Icons
from atlas.tiles import overview, sides, strips

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def made(grid: int, places: list[tuple[int, int]], counts: list[int], side: int = 4) -> tuple[Cells, Icons]:
    """Make cells at the (row, column) places with plain icons: red, green, blue, red, …"""
    n = len(places)
    row, col = np.array(places, np.int32).reshape(-1, 2).T
    colours = np.array([(RED, GREEN, BLUE)[i % 3] for i in range(n)], np.uint8).reshape(n, 1, 1, 3)
    cells = Cells(
        grid=grid,
        row=row,
        col=col,
        count=np.array(counts, np.int64),
        mean=np.zeros((n, 1), np.float32),
        coherence=np.ones(n, np.float32),
        offsets=np.arange(n + 1),
        members=np.arange(n),
    )
    icons = Icons(
        pictures=np.ascontiguousarray(np.broadcast_to(colours, (n, side, side, 3))),
        cosine=np.ones(n, np.float32),
        rank=np.ones(n, np.int64),
        tries=np.ones(n, np.int64),
        weak=np.zeros(n, bool),
    )
    return cells, icons


def whole(cells: Cells, icons: Icons, **asked: int) -> np.ndarray:
    return np.concatenate(list(strips(cells, icons, **asked)))


def test_picture_by_hand() -> None:
    # A 2 × 2 grid of cells of 5 px: 9 samples on average over 4 cells; 27 fill theirs, 9 give √(9 / 9) = 1 too.
    picture = whole(*made(2, [(0, 1), (1, 0)], [27, 9]), background=7)
    expected = np.full((10, 10, 3), 7, np.uint8)
    expected[0:4, 5:9] = RED
    expected[5:9, 0:4] = GREEN
    assert np.array_equal(picture, expected)


def test_sparse_cells_are_small_and_in_the_middle() -> None:
    # 64 samples in 4 cells: 16 on average. 60 → whole; 4 → √(4/16) = 1/2 of 8 px, inset (9 − 4) // 2.
    picture = whole(*made(2, [(0, 0), (1, 1)], [60, 4], side=8), background=7)
    assert (picture[0:8, 0:8] == RED).all()
    inside = np.zeros((18, 18), bool)
    inside[11:15, 11:15] = True
    assert (picture[inside] == GREEN).all()
    assert (picture[9:, 9:][~inside[9:, 9:]] == 7).all()


def test_published_rule_of_the_sides() -> None:
    counts = np.array([100, 25, 1, 400])
    average = 526 / 9
    by_hand = [round(40 * min(1, max(0.25, (2 * n / average) ** 0.5))) for n in counts.tolist()]
    assert sides(counts, 3, 41, 2.0).tolist() == by_hand
    assert sides(np.zeros(0, np.int64), 3, 41).tolist() == []


def test_strips_are_one_row_of_cells_each() -> None:
    drawn = list(strips(*made(3, [(1, 1)], [5])))
    assert [s.shape for s in drawn] == [(5, 15, 3)] * 3
    assert (drawn[0] == tiles.BACKGROUND).all()
    assert not (drawn[1] == tiles.BACKGROUND).all()


def test_overview_is_as_large_as_whole_cells_allow() -> None:
    picture = overview(*made(3, [(0, 0)], [5]), size=100)
    assert picture.shape == (99, 99, 3)
    assert (picture[:32, :32] == RED).all()
    assert overview(*made(2, [], []), size=10).shape == (10, 10, 3)


def test_what_does_not_fit_is_refused() -> None:
    cells, _ = made(2, [(0, 0)], [5])
    with pytest.raises(ValueError, match="2 icons for 1 cells"):
        next(strips(cells, made(2, [(0, 0), (0, 1)], [5, 5])[1]))
    with pytest.raises(ValueError, match="1 px are too few for 2 cells; give at least 4"):
        overview(*made(2, [(0, 0)], [5]), size=1)


def test_mutant_transposed_cells_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tiles._draw
    monkeypatch.setattr(tiles, "_draw", lambda strip, picture, left, side: honest(strip, picture, 5 - left, side))
    with pytest.raises(AssertionError):
        test_picture_by_hand()


def test_mutant_all_cells_of_one_size_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "sides", lambda counts, grid, cell, density: np.full(len(counts), cell - 1))
    with pytest.raises(AssertionError):
        test_sparse_cells_are_small_and_in_the_middle()
