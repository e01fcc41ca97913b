"""Parameterise pictures: the numbers to optimise, and the maps from numbers to a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from atlas.arrays import Float
from atlas.inversion.draws import Draws, normal

Map = Callable[[Tensor], Tensor]
"""Maps `b c h w` to `b c h w`, each picture by itself."""

DEVIATION = 0.01
"""Deviation of the initial numbers (lucid, `optvis/param/spatial.py`)."""

DRAWN_SIZE = 0.3
"""Root mean square of the numbers that a picture starts from which is like another."""

_MAGIC = 4.0  # lucid divides its inverse transform by this "to reduce saturation"
_COLOUR_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOUR = _COLOUR_ROOT / np.linalg.norm(_COLOUR_ROOT, axis=0).max()
"""From three uncorrelated channels to RGB as photos correlate them (lucid, `optvis/param/color.py`)."""


@dataclass(frozen=True, slots=True)
class Parameterisation:
    """Numbers to optimise and the picture they stand for.

    `initial` draws the first numbers, `b …`; `picture` maps numbers to pictures `b c h w`.
    """

    initial: Callable[[Draws], Tensor]
    picture: Map

    def then(self, *maps: Map) -> Parameterisation:
        """Pass the picture through further maps, in the order given."""

        def picture(numbers: Tensor) -> Tensor:
            result = self.picture(numbers)
            for apply in maps:
                result = apply(result)
            return result

        return Parameterisation(self.initial, picture)


def pixels(height: int, width: int, channels: int = 3) -> Parameterisation:
    """Optimise the pixels themselves."""
    return Parameterisation(
        lambda draws: DEVIATION * normal(draws, (channels, height, width)),
        lambda numbers: numbers,
    )


def fourier(gain: Float, height: int, width: int, channels: int = 3) -> Parameterisation:
    """Optimise the real and imaginary parts of a scaled spectrum, `b c rows columns 2`.

    `gain` is `rows columns` (see `lucid_gain`). Source: lucid, `optvis/param/spatial.py`, fft_image.
    """
    rows, columns = gain.shape
    scale = torch.from_numpy(np.asarray(gain, dtype=np.float32))

    def picture(numbers: Tensor) -> Tensor:
        spectrum = torch.view_as_complex(numbers * scale.to(numbers)[..., None])
        # An odd width gets one column more than it needs, so the picture comes out one pixel wider and is cut.
        wide: Tensor = torch.fft.irfft2(spectrum, s=(rows, 2 * (columns - 1)))
        return wide[..., :height, :width] / _MAGIC

    return Parameterisation(lambda draws: DEVIATION * normal(draws, (channels, rows, columns, 2)), picture)


def frequencies(height: int, width: int) -> Float:
    """Return the frequencies of a half spectrum, in cycles per pixel, `height columns`."""
    columns = width // 2 + (2 if width % 2 else 1)
    across = np.fft.fftfreq(width)[:columns]
    return np.asarray(np.hypot(np.fft.fftfreq(height)[:, None], across[None, :]), dtype=np.float32)


def lucid_gain(height: int, width: int, decay: float = 1.0) -> Float:
    """Return the gain 1 / f^decay, constant below one cycle per picture, in lucid's units."""
    floor = 1.0 / max(height, width)
    falling = np.maximum(frequencies(height, width).astype(np.float64), floor) ** -decay
    return np.asarray(np.sqrt(height * width) * falling, dtype=np.float32)


def level_gain(height: int, width: int, decay: float) -> Float:
    """Return the gain 1 / f^decay with the mean gain of decay 1, so that one learning rate suits every decay."""
    gain = lucid_gain(height, width, decay)
    return np.asarray(gain * (lucid_gain(height, width).mean() / gain.mean()), dtype=np.float32)


def colour(picture: Tensor) -> Tensor:
    """Mix three uncorrelated channels into RGB; other numbers of channels are returned unchanged."""
    if picture.shape[1] != len(COLOUR):
        return picture
    mixing = torch.from_numpy(COLOUR).to(picture)
    return torch.einsum("rc,bchw->brhw", mixing, picture)


def fixed_contrast(deviation: float | Tensor) -> Map:
    """Make a map that sets the contrast of pictures before the sigmoid, to one value or one per picture.

    Each channel keeps its mean; the deviations from it are scaled to the root mean square `deviation` (one, or `b`) over
    all pixels and channels of their picture. This makes the learning rate independent of the contrast.
    """
    wanted = deviation[:, None, None, None] if isinstance(deviation, Tensor) else torch.tensor(deviation)

    def apply(picture: Tensor) -> Tensor:
        mean = picture.mean((2, 3), keepdim=True)
        free = picture - mean
        # The addend keeps the gradient of a uniform picture finite.
        spread = (free.square().mean((1, 2, 3), keepdim=True) + 1e-12).sqrt()
        return mean + free * (wanted.to(picture) / spread)

    return apply


def tinted(colours: Tensor) -> Map:
    """Make a map that adds its own colour, `b c`, to each picture."""
    return lambda picture: picture + colours.to(picture)[:, :, None, None]


def coloured(
    height: int,
    width: int,
    *,
    decay: float,
    contrast: float | Tensor | None = None,
    tint: Tensor | None = None,
    channels: int = 3,
) -> Parameterisation:
    """Compose the icons' parameterisation: spectrum, colour, tint, contrast (none: free), sigmoid; pictures in 0..1."""
    maps: list[Map] = [colour]
    maps += [] if tint is None else [tinted(tint)]
    maps += [] if contrast is None else [fixed_contrast(contrast)]
    return fourier(level_gain(height, width, decay), height, width, channels).then(*maps, torch.sigmoid)


def spectrum_of(pictures: Tensor, *, decay: float) -> Tensor:
    """Return the numbers of `coloured` whose picture before tint and contrast is that of these, `b c h w`, less its mean.

    Pictures are in 0..1; black and white count as half a level of a byte from it.
    """
    height, width = pictures.shape[2:]
    before = torch.logit(pictures.clamp(0.5 / 255, 1 - 0.5 / 255))
    free = _uncoloured(before - before.mean((2, 3), keepdim=True))
    gain = torch.from_numpy(level_gain(height, width, decay)).to(free)
    # The column that an odd width lacks (see `fourier`) is that of its neighbour.
    wide = torch.nn.functional.pad(free, (0, 2 * (gain.shape[1] - 1) - width, 0, 0), mode="replicate")
    return torch.view_as_real(torch.fft.rfft2(wide * _MAGIC) / gain)


def _uncoloured(picture: Tensor) -> Tensor:
    """Undo `colour`."""
    if picture.shape[1] != len(COLOUR):
        return picture
    return torch.einsum("cr,brhw->bchw", torch.from_numpy(np.linalg.inv(COLOUR)).to(picture), picture)
