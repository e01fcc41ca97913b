"""Run an attribution method by name, and turn its result into a map `b h w`."""

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
"""Methods whose values are shares of the score, for or against it; the others give strength only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of all methods.

    `samples` and `noise` are for SmoothGrad, `steps` and `baseline` (`1 c h w`, by default zeros) for integrated
    gradients, `layer` for Grad-CAM.
    """

    samples: int = 25
    noise: float = 0.15
    steps: int = 50
    baseline: Tensor | None = None
    layer: Layer | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """A method's result: `map` is `b h w` in the picture's size; `raw` is the method's own output.

    `raw` is `b c h w` by colour, or for Grad-CAM `b h w` on the layer's grid. If `signed`, positive values support the
    score and negative ones oppose it.
    """

    map: Tensor
    raw: Tensor
    signed: bool


def attribute(module: nn.Module, x: Tensor, score: Score, method: str, settings: Settings | None = None) -> Attribution:
    """Explain the score of pictures `b c h w` by a method of METHODS.

    Raises ValueError for an unknown method, or Grad-CAM without a layer; UndefinedMethodError (a ValueError) if the
    method has no rule for one of the model's operators.
    """
    if method not in METHODS:
        raise ValueError(f"no attribution method {method!r}; there are {', '.join(METHODS)}")
    raw = _raw(module, x, score, method, settings or Settings())
    size = (x.shape[2], x.shape[3])
    return Attribution(map=as_map(raw, method, size), raw=raw, signed=method in SIGNED)


def as_map(raw: Tensor, method: str, size: tuple[int, int]) -> Tensor:
    """Turn a method's raw output into a map `b h w`.

    Shares of the score are summed over colours; gradients are reduced to their largest absolute value over colours
    (Simonyan et al. 2013, section 3.1); Grad-CAM's map is enlarged bilinearly.
    """
    if method == "grad-cam":
        return F.interpolate(raw[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return raw.sum(1) if method in SIGNED else raw.abs().amax(1)


def _raw(module: nn.Module, x: Tensor, score: Score, method: str, settings: Settings) -> Tensor:
    if method == "smoothgrad":
        return gradients.smoothgrad(
            module, x, score, samples=settings.samples, noise=settings.noise, seed=settings.seed
        )
    if method == "integrated-gradients":
        return gradients.integrated_gradients(module, x, score, baseline=settings.baseline, steps=settings.steps)
    if method == "grad-cam":
        if settings.layer is None:
            raise ValueError("grad-cam needs a layer")
        return grad_cam(module, x, score, settings.layer)
    plain = {
        "gradient": gradients.gradient,
        "gradient-x-input": gradients.gradient_x_input,
        "guided-backprop": guided_backprop.guided_backprop,
        "deconvnet": guided_backprop.deconvnet,
    }
    return plain[method](module, x, score)
