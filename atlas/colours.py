"""Maps as pictures: one hue from paper to orange, blue for what speaks against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Byte, Float

PAPER, ORANGE, BLUE = (248, 246, 243), (190, 72, 0), (20, 84, 164)
TINT = 0.85
"""Of a map's colour over the picture, where the map is strongest."""

PERCENTILE = 99.5
"""Of a map's absolute values: what is shown at full strength, so that one pixel does not pale the rest."""


def scaled(map: Float) -> Float:
    """Divide a map by the PERCENTILE of its absolute values, and clip to −1 … 1; all zeros stay zeros."""
    strongest = float(np.percentile(np.abs(map), PERCENTILE)) or float(np.abs(map).max())
    return np.clip(map / strongest, -1, 1).astype(np.float32) if strongest else np.zeros_like(map, np.float32)


def heat(map: Float) -> Byte:
    """Colour a scaled map `h w` as `h w 3`: paper at 0, orange at 1, blue at −1, lightness falling with strength."""
    strength = np.abs(map)[..., None]
    return _bytes((1 - strength) * np.array(PAPER) + strength * _hue(map))


def overlay(picture: Byte, map: Float) -> Byte:
    """Lay a scaled map `h w` over a picture `h w 3` of the same size, whose own colours are taken back to pale grey."""
    grey = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    ground = (110 + grey[..., None] * 145 / 255) * np.ones(3)
    tint = TINT * np.abs(map)[..., None]
    return _bytes((1 - tint) * ground + tint * _hue(map))


def _hue(map: Float) -> NDArray[np.float64]:
    return np.where(map[..., None] < 0, np.array(BLUE, np.float64), np.array(ORANGE, np.float64))


def _bytes(values: NDArray[np.float64]) -> Byte:
    return np.round(values).clip(0, 255).astype(np.uint8)
