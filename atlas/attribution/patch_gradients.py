"""Cut out and colour the gradient of a patch's unit, shown beside the patch as in Zeiler & Fergus (2013)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Byte, Float, Layer
from atlas.attribution.gradients import gradient
from atlas.attribution.guided_backprop import deconvnet, guided_backprop
from atlas.attribution.scores import Score
from atlas.colours import scaled

PATCH_METHODS: dict[str, Callable[[nn.Module, Tensor, Score], Tensor]] = {
    "gradient": gradient,
    "guided-backprop": guided_backprop,
    "deconvnet": deconvnet,
}
GREY = 128
"""The grey level of a zero gradient."""


def units_at(layer: Layer, unit: Tensor, y: Tensor, x: Tensor, sign: str = "positive") -> Score:
    """Score each picture of a batch by its own unit and position, `b`, `b`, `b`; negated for the sign `negative`."""
    factor = -1 if sign == "negative" else 1

    def read(activation: Tensor) -> Tensor:
        return factor * activation[torch.arange(len(activation), device=activation.device), unit, y, x]

    return Score(read=read, layer=layer)


def check_method(module: nn.Module, images: Tensor, layer: Layer, method: str) -> None:
    """Try a method on a layer; raises UndefinedMethodError if it has no rule for an operator up to the layer."""
    first = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    PATCH_METHODS[method](module, images, units_at(layer, first, first, first))


def cut_box(gradient: NDArray[np.floating], box: NDArray[np.float64], shape: tuple[int, int]) -> Float:
    """Cut a box (left, top, right, bottom, in pixels) out of a gradient `c h w`, as `shape[0] shape[1] c`.

    Resized as by Pillow's bilinear filter, with edges anywhere between pixels; zero outside the input.
    """
    left, top, right, bottom = box.tolist()
    rows, columns = _taps(top, bottom, shape[0], gradient.shape[1]), _taps(left, right, shape[1], gradient.shape[2])
    part: Float = (rows @ gradient.astype(np.float64) @ columns.T).transpose(1, 2, 0).astype(np.float32)
    return part


def fitted_size(box: NDArray[np.integer], size: int) -> tuple[int, int]:
    """Return the height and width of a box (left, top, right, bottom) scaled to `size` pixels on its longer side."""
    left, top, right, bottom = box.tolist()
    scale = size / max(right - left, bottom - top, 1)
    return max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale))


def gradient_picture(part: Float) -> Byte:
    """Draw a gradient `h w c` around mid grey, scaled by its largest values (see `scaled`); one channel becomes three."""
    shown = np.round(127.5 + 127.5 * scaled(part))
    return np.broadcast_to(shown, (*part.shape[:2], 3)).astype(np.uint8)


def _taps(start: float, stop: float, size: int, length: int) -> NDArray[np.float64]:
    """Return the weights `size length` that resample a line of `length` pixels to `size` pixels from start to stop."""
    step = (stop - start) / size
    middle = start + (np.arange(size) + 0.5) * step
    distance = np.abs(middle[:, None] - (np.arange(length) + 0.5))
    weight = np.clip(1 - distance / max(step, 1.0), 0, None)
    inside = (middle >= 0) & (middle <= length)
    return np.where(inside[:, None], weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12), 0.0)
