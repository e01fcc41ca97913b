"""Every method by its name, and the map `b h w` that it draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.attribution import gradients, guided_backprop
from atlas.attribution.grad_cam import grad_cam
from atlas.attribution.scores import Score

METHODS = (
    "gradient",
    "gradient-x-input",
    "smoothgrad",
    "integrated-gradients",
    "grad-cam",
    "guided-backprop",
    "deconvnet",
)
SIGNED = ("gradient-x-input", "integrated-gradients")
"""Methods whose numbers are shares of the score, for it or against it; the others only say how strong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the methods can be told; each takes what concerns it.

    `samples` and `noise` are SmoothGrad's, `steps` and `baseline` (`1 c h w`, by default zeros) integrated gradients',
    `layer` Grad-CAM's.
    """

    samples: int = 25
    noise: float = 0.15
    steps: int = 50
    baseline: Tensor | None = None
    layer: Layer | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What a method found: `map` is `b h w` in the picture's size; `raw` as the method gives it.

    `raw` is `b c h w` by colours, or Grad-CAM's `b h w` on the layer's grid. Where `signed`, positive speaks for the
    score and negative against it.
    """

    map: Tensor
    raw: Tensor
    signed: bool


def attribute(module: nn.Module, x: Tensor, score: Score, method: str, settings: Settings | None = None) -> Attribution:
    """Explain the score of pictures `b c h w` by a method of METHODS.

    Raises ValueError for an unknown method, or Grad-CAM without a layer; UndefinedMethodError (a ValueError) where the
    method has no rule for what the model computes.
    """
    if method not in METHODS:
        raise ValueError(f"{method!r} is no method; they are {', '.join(METHODS)}")
    raw = _raw(module, x, score, method, settings or Settings())
    size = (x.shape[2], x.shape[3])
    return Attribution(map=as_map(raw, method, size), raw=raw, signed=method in SIGNED)


def as_map(raw: Tensor, method: str, size: tuple[int, int]) -> Tensor:
    """Return the map `b h w` of what a method gives.

    Shares of the score are summed over colours; of gradients the largest absolute value over colours counts (Simonyan
    et al. 2013, section 3.1); Grad-CAM's is enlarged bilinearly.
    """
    if method == "grad-cam":
        return F.interpolate(raw[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return raw.sum(1) if method in SIGNED else raw.abs().amax(1)


def _raw(module: nn.Module, x: Tensor, score: Score, method: str, told: Settings) -> Tensor:
    if method == "smoothgrad":
        return gradients.smoothgrad(module, x, score, samples=told.samples, noise=told.noise, seed=told.seed)
    if method == "integrated-gradients":
        return gradients.integrated_gradients(module, x, score, baseline=told.baseline, steps=told.steps)
    if method == "grad-cam":
        if told.layer is None:
            raise ValueError("grad-cam needs a layer")
        return grad_cam(module, x, score, told.layer)
    plain = {
        "gradient": gradients.gradient,
        "gradient-x-input": gradients.gradient_x_input,
        "guided-backprop": guided_backprop.guided_backprop,
        "deconvnet": guided_backprop.deconvnet,
    }
    return plain[method](module, x, score)
