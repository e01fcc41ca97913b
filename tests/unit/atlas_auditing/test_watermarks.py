"""Watermarks: planted ones are found with their pictures, moved and half transparent; common edges are none."""

from __future__ import annotations

import numpy as np
import pytest

from atlas.auditing import watermarks as tested
from atlas.auditing.watermarks import watermarks

SIDE, MARK, COUNT = 64, 16, 40


def photos(seed: int, count: int = COUNT) -> np.ndarray:
    """Return smooth random pictures with a spectrum like that of photos, `n h w 3`."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(y, x), 1 / SIDE) ** 1.2
    noise = np.fft.fft2(rng.normal(size=(count, 3, SIDE, SIDE)))
    waves = np.fft.ifft2(noise * amplitude).real
    waves /= waves.std(axis=(2, 3), keepdims=True)
    return np.asarray((120 + 45 * waves).clip(0, 255).transpose(0, 2, 3, 1), np.uint8)


def letters(seed: int = 9) -> np.ndarray:
    """Return a pattern of blocks, as coarse as letters."""
    return np.random.default_rng(seed).integers(0, 2, (MARK // 4, MARK // 4)).repeat(4, 0).repeat(4, 1)


def stamp(pictures: np.ndarray, opacity: float, move: int = 0, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    for picture in pictures:
        top, left = 42 + rng.integers(-move, move + 1, 2)
        place = picture[top : top + MARK, left : left + MARK]
        mixed = (1 - opacity) * place + opacity * 255
        place[letters() > 0] = mixed.astype(np.uint8)[letters() > 0]


@pytest.mark.parametrize(("share", "opacity", "move"), [(0.5, 1.0, 0), (0.3, 0.6, 0), (0.3, 0.8, 2)])
def test_a_planted_watermark_is_found(share: float, opacity: float, move: int) -> None:
    pictures, marked = photos(2), np.arange(COUNT) % 10 < 10 * share
    planted = pictures[marked]
    stamp(planted, opacity, move)
    pictures[marked] = planted
    first, *others = watermarks(pictures, 5)
    assert (first.members == marked).mean() >= 0.9
    assert not first.members[~marked].any()
    assert others == []
    left, top, right, bottom = (SIDE * edge for edge in first.box)
    assert left < 42 + MARK and right > 42 and top < 42 + MARK and bottom > 42  # noqa: PT018


def test_pictures_without_any_have_none() -> None:
    assert watermarks(photos(3), 5) == []
    assert watermarks(photos(3)[:3], 5) == []


def horizons() -> np.ndarray:
    """Return pictures with an edge at nearly the same height, a third of which are sky above sea."""
    pictures = photos(4).astype(np.float64)
    for picture in pictures[::3]:
        picture[:34] = 0.1 * picture[:34] + 190
        picture[34:] = 0.1 * picture[34:] + 40
    return pictures.clip(0, 255).astype(np.uint8)


def test_a_horizon_is_no_watermark() -> None:
    assert watermarks(horizons(), 5) == []


def test_mutant_edges_of_one_direction_that_count_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "CROSSING", -1.0)
    assert watermarks(horizons(), 5)


def test_mutant_places_that_are_not_compared_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested._Tiles, "places", lambda tiles: [(0, 0)])
    with pytest.raises((AssertionError, ValueError)):
        test_a_planted_watermark_is_found(0.5, 1.0, 0)


def test_what_all_pictures_have_is_no_part_of_them() -> None:
    pictures = photos(5)
    stamp(pictures, 1.0)
    assert watermarks(pictures, 5, others=5) == []
