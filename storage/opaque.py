"""A user's own preprocessing, of which only its effect is known."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atlas.arrays import Float, Geometry

if TYPE_CHECKING:
    from torch import Tensor

_LOG = logging.getLogger(__name__)
_FIT_WITHIN = 0.02
"""How far from a straight line the input's pixels may lie: this share of the source's side, and one source pixel."""


class UnknownGeometry(ValueError):
    """A preprocessing that is no axis-aligned, evenly scaled cut of its source."""


@dataclass(frozen=True, slots=True)
class OpaquePreprocess:
    """Wrap a callable that turns a PIL image into a float tensor `c h w`, always of the same size.

    `size` is (height, width) of its output. It has the methods of `Preprocess`, with float pixels that `normalise`
    only turns around. Where the geometry can't be found, the whole source is taken to be stretched over the input.
    """

    function: Callable[[Image.Image], Tensor]
    size: tuple[int, int]
    channels: int = 3
    _known: dict[tuple[int, int], Geometry] = field(default_factory=dict, repr=False, compare=False)

    def blank(self, batch: int) -> NDArray[Any]:
        """Return zeros for `batch` images as `pixels` gives them, `b h w c`."""
        return np.zeros((batch, *self.size, self.channels), np.float32)

    def pixels(self, image: Image.Image) -> Float:
        """Run the callable; return float32 `h w c`. Raise `ValueError` where its output is not what was said."""
        output = np.asarray(self.function(image), np.float32)
        if output.shape != (self.channels, *self.size):
            raise ValueError(
                f"{_name(self.function)} gave shape {output.shape} for an image of {image.width} × {image.height} "
                f"pixels, not {(self.channels, *self.size)}: a preprocessing must always give the size it was declared with"
            )
        return np.ascontiguousarray(output.transpose(1, 2, 0))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn float `b h w c` to `b c h w`, channels last in memory; the values are the callable's own."""
        import torch

        return pixels.permute(0, 3, 1, 2).to(torch.float32)

    def __call__(self, image: Image.Image) -> Tensor:
        """Turn an image into the model's input, float32 `c h w`."""
        import torch

        return torch.from_numpy(self.pixels(image).transpose(2, 0, 1).copy())

    def geometry(self, width: int, height: int) -> Geometry:
        """Say where the input's pixels lie in a source of this size, as `Preprocess.geometry` does.

        Found by a probe; where that fails, say so in the log and take the whole source stretched over the input.
        """
        if (width, height) not in self._known:
            try:
                self._known[width, height] = probe_geometry(self, width, height)
            except UnknownGeometry as error:
                _LOG.warning("%s; boxes are drawn as if the whole image were stretched over the input", error)
                self._known[width, height] = stretched(width, height, self.size)
        return self._known[width, height]

    def fingerprint(self) -> str:
        """Hash what the callable makes of three fixed images, since its code can't be read reliably."""
        digest = hashlib.sha256()
        for width, height in ((300, 400), (640, 480), (64, 64)):
            digest.update(self.pixels(_pattern(width, height)).tobytes())
        record = {"kind": "opaque", "size": self.size, "channels": self.channels, "effect": digest.hexdigest()}
        return json.dumps(record, sort_keys=True, separators=(",", ":"))


def wrap(function: Callable[[Image.Image], Tensor]) -> OpaquePreprocess:
    """Wrap a user's callable, taking size and channels from what it makes of one picture.

    Raise `ValueError` where that is no tensor `c h w`; that pictures of other shapes give the same size is checked as
    they come.
    """
    shape = np.asarray(function(_pattern(400, 300)), np.float32).shape
    if len(shape) != 3:
        raise ValueError(f"{_name(function)} gave shape {shape} for a picture; wanted channels, height, width")
    return OpaquePreprocess(function, (shape[1], shape[2]), shape[0])


def stretched(width: int, height: int, size: tuple[int, int]) -> Geometry:
    """Return the geometry of a source resized to `size` whatever its shape."""
    scale_y, scale_x = height / size[0], width / size[1]
    return Geometry(
        scale_y=scale_y,
        scale_x=scale_x,
        offset_y=0.5 * scale_y - 0.5,
        offset_x=0.5 * scale_x - 0.5,
        height=height,
        width=width,
    )


def probe_geometry(preprocess: OpaquePreprocess, width: int, height: int) -> Geometry:
    """Find the geometry by feeding black, white and grey ramps along x and y, and fitting a line to each.

    Black and white tell each output value's range, so that any per-channel normalisation cancels out.
    Raise `UnknownGeometry` where the ramps don't come out as straight lines (rotations, warps, random crops).
    """
    black, white = (_grey(preprocess, np.full((height, width), value)) for value in (0.0, 255.0))
    span = white - black
    seen = np.abs(span) > 1e-6 * max(1.0, float(np.abs(span).max()))
    across = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    down = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    fits = []
    for ramp, axis, side in ((down, 0, height), (across, 1, width)):
        share = (_grey(preprocess, ramp) - black)[seen] / span[seen]
        fits.append(_fit(np.nonzero(seen)[axis], share * (side - 1), side, _name(preprocess.function)))
    (scale_y, offset_y), (scale_x, offset_x) = fits
    return Geometry(scale_y=scale_y, scale_x=scale_x, offset_y=offset_y, offset_x=offset_x, height=height, width=width)


def _grey(preprocess: OpaquePreprocess, values: NDArray[Any]) -> NDArray[np.float64]:
    """Run a grey picture through the callable; return the mean over channels, `h w`."""
    picture = np.repeat(np.rint(values).astype(np.uint8)[..., None], 3, axis=2)
    output: NDArray[np.float64] = preprocess.pixels(Image.fromarray(picture)).mean(axis=2, dtype=np.float64)
    return output


def _fit(index: NDArray[np.int64], place: NDArray[np.float64], side: int, name: str) -> tuple[float, float]:
    """Fit place = offset + scale · index; return (scale, offset)."""
    if side == 1:
        return 1.0, 0.0
    # The ends of a ramp are bent: resampling mixes what it repeats there.
    inner = (place > 0.02 * side) & (place < 0.98 * (side - 1))
    if len(np.unique(index[inner])) < 2:
        raise UnknownGeometry(
            f"{name} shows too little of a ramp {side} pixels long to tell where its pixels come from"
        )
    scale, offset = np.polyfit(index[inner], place[inner], 1)
    worst = float(np.abs(offset + scale * index[inner] - place[inner]).max())
    if worst > 1 + _FIT_WITHIN * side or scale <= 0:
        raise UnknownGeometry(
            f"{name} is no straight cut of its source: pixels lie up to {worst:.1f} pixels of {side} off a line"
        )
    return float(scale), float(offset)


def _pattern(width: int, height: int) -> Image.Image:
    """Return a fixed colourful picture."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x * 7 + y, x + y * 5, x * y // 8], axis=2) % 256
    return Image.fromarray(picture.astype(np.uint8))


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
