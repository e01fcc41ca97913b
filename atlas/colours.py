"""Colour maps as pictures: from paper to orange for positive values, to blue for negative ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Byte, Float

PAPER, ORANGE, BLUE = (248, 246, 243), (190, 72, 0), (20, 84, 164)
TINT = 0.85
"""Opacity of a map's colour over the picture, where the map is strongest."""

PERCENTILE = 99.5
"""Percentile of a map's absolute values shown at full strength, so that a single pixel does not pale the rest."""


def scaled(map: Float) -> Float:
    """Divide a map by the PERCENTILE of its absolute values, and clip to −1 … 1; all zeros stay zeros."""
    strongest = float(np.percentile(np.abs(map), PERCENTILE)) or float(np.abs(map).max())
    return np.clip(map / strongest, -1, 1).astype(np.float32) if strongest else np.zeros_like(map, np.float32)


def heat(map: Float) -> Byte:
    """Colour a scaled map `h w` as `h w 3`: paper at 0, orange at 1, blue at −1, lightness falling with strength."""
    strength = np.abs(map)[..., None]
    return _bytes((1 - strength) * np.array(PAPER) + strength * _hue(map))


def overlay(picture: Byte, map: Float) -> Byte:
    """Overlay a scaled map `h w` on a picture `h w 3` of the same size, reduced to pale grey."""
    grey = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    background = (110 + grey[..., None] * 145 / 255) * np.ones(3)
    tint = TINT * np.abs(map)[..., None]
    return _bytes((1 - tint) * background + tint * _hue(map))


def _hue(map: Float) -> NDArray[np.float64]:
    return np.where(map[..., None] < 0, np.array(BLUE, np.float64), np.array(ORANGE, np.float64))


def _bytes(values: NDArray[np.float64]) -> Byte:
    return np.round(values).clip(0, 255).astype(np.uint8)
