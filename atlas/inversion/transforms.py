"""Random transforms that a picture must be robust to, drawn separately for each picture of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from atlas.inversion.draws import Draws, choice, normal, uniform

Transform = Callable[[Tensor, Draws], Tensor]
"""Maps pictures `b c h w` and their draws to pictures `b c h' w'`."""


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
    """Sample each picture at `turn · p + shift` for every pixel p of a canvas of `size` (height, width), bilinearly.

    Pixels p are (x, y) from the centre of the canvas, sampled points (x, y) from the centre of the picture; `turn` is
    `b 2 2`, `shift` is `b 2`. `padding` sets the values outside the picture: `reflection`, `border`, `zeros`.
    """
    half_in = pictures.new_tensor([pictures.shape[3] / 2, pictures.shape[2] / 2])
    half_out = pictures.new_tensor([size[1] / 2, size[0] / 2])
    turn, shift = turn.to(pictures), shift.to(pictures)
    matrix = torch.cat([turn * half_out[None, None, :], shift[..., None]], dim=2) / half_in[None, :, None]
    grid = F.affine_grid(matrix, [len(pictures), pictures.shape[1], *size], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode=padding, align_corners=False)


def affine(degrees: float, zoom: float, pixels: float) -> Transform:
    """Rotate, zoom and shift each picture by uniform draws up to ±degrees, 1 ± zoom and ±pixels; edges are mirrored."""

    def apply(pictures: Tensor, draws: Draws) -> Tensor:
        turn = _rotation(uniform(draws, -degrees, degrees)) / uniform(draws, 1 - zoom, 1 + zoom)[:, None, None]
        return resample(pictures, turn, uniform(draws, -pixels, pixels, (2,)), _size(pictures))

    return apply


def crop(smallest: float, largest: float = 1.0, stray: float = 0.7, shown: float = 1.0) -> Transform:
    """Crop each picture, the crop's side uniform between `smallest` and `largest`, and stretch it to the size `shown`.

    All three are shares of the picture's size. The crop's centre is off the middle by at most `stray` of the free
    margin.
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
    """Stretch pictures to a size, for nets that accept no other."""

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
        """Return the side of the canvas after the step."""
        return side + 2 * self.pixels

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Draw the map from the new canvas to the old, as `turn` and `shift` for `resample`."""
        return _no_motion(draws)


@dataclass(frozen=True, slots=True)
class Jitter:
    """Crop the canvas by so many pixels in each direction, at a random offset (as lucid does; lucent shifts instead)."""

    pixels: int

    def side(self, side: int) -> int:
        """Return the side of the canvas after the step."""
        return side - self.pixels

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Draw the map from the new canvas to the old, as `turn` and `shift` for `resample`."""
        places = range(self.pixels + 1)
        offset = torch.stack([choice(draws, places), choice(draws, places)], dim=1)
        return _no_motion(draws)[0], offset - self.pixels / 2


@dataclass(frozen=True, slots=True)
class Scale:
    """Enlarge by one of the factors. The canvas keeps its size: pictures of one batch draw different factors."""

    factors: tuple[float, ...]

    def side(self, side: int) -> int:
        """Return the side of the canvas after the step."""
        return side

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Draw the map from the new canvas to the old, as `turn` and `shift` for `resample`."""
        turn, shift = _no_motion(draws)
        return turn / choice(draws, self.factors)[:, None, None], shift


@dataclass(frozen=True, slots=True)
class Rotate:
    """Rotate about the centre by one of the angles, in degrees; the canvas keeps its size."""

    degrees: tuple[float, ...]

    def side(self, side: int) -> int:
        """Return the side of the canvas after the step."""
        return side

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Draw the map from the new canvas to the old, as `turn` and `shift` for `resample`."""
        return _rotation(choice(draws, self.degrees)), _no_motion(draws)[1]


Step = Pad | Jitter | Scale | Rotate


def warp(steps: Sequence[Step], background: float) -> Transform:
    """Apply a list of steps by a single resampling; outside the picture is `background`.

    The published code resamples at each step and fills the areas a rotation uncovers with zeros.
    """

    def apply(pictures: Tensor, draws: Draws) -> Tensor:
        turn, shift = _no_motion(draws)
        height, width = _size(pictures)
        for step in steps:
            step_turn, offset = step.draw(draws)
            shift = shift + (turn @ offset[..., None])[..., 0]
            turn = turn @ step_turn
            height, width = step.side(height), step.side(width)
        return resample(pictures - background, turn, shift, (height, width), "zeros") + background

    return apply


def _size(pictures: Tensor) -> tuple[int, int]:
    return pictures.shape[2], pictures.shape[3]


def _no_motion(draws: Draws) -> tuple[Tensor, Tensor]:
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
"""lucid, `optvis/transform.py`, standard_transforms; its background is 0.5."""

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
"""lucid, notebook activation-atlas-simple; its background is 1.0."""

PRESETS: dict[str, Transform] = {
    "none": identity,
    "affine": affine(degrees=10, zoom=0.1, pixels=8),
    "lucid": warp(LUCID_STEPS, background=0.5),
    "atlas": warp(ATLAS_STEPS, background=1.0),
}
"""`affine` is for our icon recipes; `lucid` and `atlas` have the ranges of the published code."""
