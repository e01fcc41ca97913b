"""Moves that a picture must survive, drawn for each picture of a batch by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from atlas.inversion.draws import Draws, choice, normal, uniform

Transform = Callable[[Tensor, Draws], Tensor]
"""Takes pictures `b c h w` and their draws to pictures `b c h' w'`."""


def identity(pictures: Tensor, draws: Draws) -> Tensor:
    """Leave the pictures as they are."""
    return pictures


def compose(*transforms: Transform) -> Transform:
    """Apply transforms in the order given."""

    def apply(pictures: Tensor, draws: Draws) -> Tensor:
        for transform in transforms:
            pictures = transform(pictures, draws)
        return pictures

    return apply


def resample(
    pictures: Tensor, turn: Tensor, shift: Tensor, size: tuple[int, int], padding: str = "reflection"
) -> Tensor:
    """Read each picture at `turn · p + shift` for every pixel p of a canvas of `size` (height, width), bilinear.

    Places p are (x, y) in pixels from the centre of the canvas, and are read from the centre of the picture; `turn`
    is `b 2 2`, `shift` is `b 2`. Outside the picture, `padding` says what is read: `reflection`, `border`, `zeros`.
    """
    half_in = pictures.new_tensor([pictures.shape[3] / 2, pictures.shape[2] / 2])
    half_out = pictures.new_tensor([size[1] / 2, size[0] / 2])
    turn, shift = turn.to(pictures), shift.to(pictures)
    matrix = torch.cat([turn * half_out[None, None, :], shift[..., None]], dim=2) / half_in[None, :, None]
    grid = F.affine_grid(matrix, [len(pictures), pictures.shape[1], *size], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode=padding, align_corners=False)


def affine(degrees: float, zoom: float, pixels: float) -> Transform:
    """Turn, zoom and shift each picture by even draws up to ±degrees, 1 ± zoom and ±pixels; edges are mirrored."""

    def apply(pictures: Tensor, draws: Draws) -> Tensor:
        turn = _rotation(uniform(draws, -degrees, degrees)) / uniform(draws, 1 - zoom, 1 + zoom)[:, None, None]
        return resample(pictures, turn, uniform(draws, -pixels, pixels, (2,)), _size(pictures))

    return apply


def crop(smallest: float, largest: float = 1.0, stray: float = 0.7, shown: float = 1.0) -> Transform:
    """Cut a share of each picture, its sides drawn even between the shares given, and stretch it to the size `shown`.

    That size is a share of the picture's. The cut's centre strays from the middle by at most `stray` of what its side
    leaves free.
    """

    def apply(pictures: Tensor, draws: Draws) -> Tensor:
        side = uniform(draws, smallest, largest)
        height, width = _size(pictures)
        size = (round(shown * height), round(shown * width))
        shift = uniform(draws, -stray, stray, (2,)) * (1 - side)[:, None] * torch.tensor([width / 2, height / 2])
        turn = torch.diag(torch.tensor([width / size[1], height / size[0]])) * side[:, None, None]
        return resample(pictures, turn, shift, size)

    return apply


def noise(deviation: float) -> Transform:
    """Add normal noise to every pixel."""
    return lambda pictures, draws: pictures + deviation * normal(draws, tuple(pictures.shape[1:])).to(pictures)


def resize(height: int, width: int) -> Transform:
    """Stretch pictures to a size, for nets that take no other."""

    def apply(pictures: Tensor, draws: Draws) -> Tensor:
        if _size(pictures) == (height, width):
            return pictures
        return F.interpolate(pictures, (height, width), mode="bilinear", align_corners=False, antialias=True)

    return apply


@dataclass(frozen=True, slots=True)
class Pad:
    """Widen the canvas on every side."""

    pixels: int

    def side(self, side: int) -> int:
        """Give the side of the canvas after the step."""
        return side + 2 * self.pixels

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Give where each place of the new canvas comes from, as `turn` and `shift` of `resample`."""
        return _still(draws)


@dataclass(frozen=True, slots=True)
class Jitter:
    """Cut so many pixels off the canvas in each direction, at a random place (lucid's way; lucent shifts instead)."""

    pixels: int

    def side(self, side: int) -> int:
        """Give the side of the canvas after the step."""
        return side - self.pixels

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Give where each place of the new canvas comes from, as `turn` and `shift` of `resample`."""
        places = range(self.pixels + 1)
        offset = torch.stack([choice(draws, places), choice(draws, places)], dim=1)
        return _still(draws)[0], offset - self.pixels / 2


@dataclass(frozen=True, slots=True)
class Scale:
    """Enlarge by one of the factors. The canvas keeps its size: pictures of one batch draw different factors."""

    factors: tuple[float, ...]

    def side(self, side: int) -> int:
        """Give the side of the canvas after the step."""
        return side

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Give where each place of the new canvas comes from, as `turn` and `shift` of `resample`."""
        turn, shift = _still(draws)
        return turn / choice(draws, self.factors)[:, None, None], shift


@dataclass(frozen=True, slots=True)
class Rotate:
    """Turn about the centre by one of the angles, in degrees; the canvas keeps its size."""

    degrees: tuple[float, ...]

    def side(self, side: int) -> int:
        """Give the side of the canvas after the step."""
        return side

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Give where each place of the new canvas comes from, as `turn` and `shift` of `resample`."""
        return _rotation(choice(draws, self.degrees)), _still(draws)[1]


Step = Pad | Jitter | Scale | Rotate


def warp(steps: Sequence[Step], ground: float) -> Transform:
    """Apply a list of steps by one resampling; what lies outside the picture is `ground`.

    The published code resamples at each step and fills what a rotation uncovers with zeros.
    """

    def apply(pictures: Tensor, draws: Draws) -> Tensor:
        turn, shift = _still(draws)
        height, width = _size(pictures)
        for step in steps:
            further, offset = step.draw(draws)
            shift = shift + (turn @ offset[..., None])[..., 0]
            turn = turn @ further
            height, width = step.side(height), step.side(width)
        return resample(pictures - ground, turn, shift, (height, width), "zeros") + ground

    return apply


def _size(pictures: Tensor) -> tuple[int, int]:
    return pictures.shape[2], pictures.shape[3]


def _still(draws: Draws) -> tuple[Tensor, Tensor]:
    return torch.eye(2).repeat(len(draws), 1, 1), torch.zeros(len(draws), 2)


def _rotation(degrees: Tensor) -> Tensor:
    angle = degrees * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


LUCID_STEPS: tuple[Step, ...] = (
    Pad(12),
    Jitter(8),
    Scale(tuple(1 + (i - 5) / 50 for i in range(11))),
    Rotate((*range(-10, 11), *[0] * 5)),
    Jitter(4),
)
"""lucid, `optvis/transform.py`, standard_transforms; its ground is 0.5."""

ATLAS_STEPS: tuple[Step, ...] = (
    Pad(2),
    Jitter(4),
    Jitter(4),
    Jitter(8),
    Jitter(8),
    Jitter(8),
    Scale((*(0.995**n for n in range(-5, 80)), *(0.998**n for n in 2 * [*range(20, 40)]))),
    Rotate((*range(-20, 20), *range(-10, 10), *range(-5, 5), *[0] * 5)),
    Jitter(2),
)
"""lucid, notebook activation-atlas-simple; its ground is 1.0."""

PRESETS: dict[str, Transform] = {
    "none": identity,
    "affine": affine(degrees=10, zoom=0.1, pixels=8),
    "lucid": warp(LUCID_STEPS, ground=0.5),
    "atlas": warp(ATLAS_STEPS, ground=1.0),
}
"""`affine` is the icons' own; the other two have the ranges of the published code."""
