"""Borders: frames and bars of one colour, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from atlas.auditing.borders import bordered


def photo(seed: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)


@pytest.mark.parametrize("edges", ["all", "rows", "columns"])
@pytest.mark.parametrize("colour", [0, 255, (10, 200, 30)])
def test_frames_and_bars_are_borders(edges: str, colour: int | tuple[int, int, int]) -> None:
    picture = photo(0)
    for number in (slice(0, 4), slice(-4, None)):
        if edges != "columns":
            picture[number] = colour
        if edges != "rows":
            picture[:, number] = colour
    noisy = np.clip(picture.astype(int) + np.random.default_rng(1).integers(-2, 3, picture.shape), 0, 255)
    assert bordered(np.stack([picture, noisy.astype(np.uint8), photo(0)])).tolist() == [True, True, False]


def test_one_edge_a_gradient_and_a_plain_picture_are_none() -> None:
    one, gradient, plain = photo(0), photo(0), np.full((64, 64, 3), 90, np.uint8)
    one[:6] = 0
    gradient[:20] = gradient[-20:] = (np.arange(20)[:, None, None] * 12).astype(np.uint8)
    assert bordered(np.stack([one, gradient, plain])).tolist() == [False, False, False]
    assert bordered(np.zeros((0, 8, 8, 3), np.uint8)).tolist() == []
