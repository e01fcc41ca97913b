"""The saliency methods, one row each, and the map `b h w` that each draws. Loads no torch until one is applied."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from atlas.arrays import Layer
    from atlas.attribution.scores import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A saliency method: everything that commands, sheets and the viewer know of it.

    `title` names it in lists, `sentence` captions its heat map. Where `signed`, its numbers are shares of the score,
    for it or against it; the others only say how strong. `rectified` methods differ from the gradient at rectifiers
    alone. `settings` are the fields of `Settings` that it takes, by keyword. `function` is the dotted path of the
    function of `(module, x, score)` that returns the attribution.
    """

    name: str
    title: str
    sentence: str
    function: str
    signed: bool = False
    rectified: bool = False
    settings: tuple[str, ...] = ()


_ROWS = (
    Method(
        name="gradient",
        title="gradient",
        sentence="how much the score moves when a pixel does",
        function="atlas.attribution.gradients.gradient",
    ),
    Method(
        name="gradient-x-input",
        title="gradient × input",
        sentence="the gradient times the pixel: orange speaks for it, blue against",
        function="atlas.attribution.gradients.gradient_x_input",
        signed=True,
    ),
    Method(
        name="smoothgrad",
        title="SmoothGrad",
        sentence="how much the score moves when a pixel does, averaged over noisy copies",
        function="atlas.attribution.gradients.smoothgrad",
        settings=("samples", "noise", "seed"),
    ),
    Method(
        name="integrated-gradients",
        title="integrated gradients",
        sentence="each pixel's share of the score: orange speaks for it, blue against",
        function="atlas.attribution.gradients.integrated_gradients",
        signed=True,
        settings=("steps", "baseline"),
    ),
    Method(
        name="grad-cam",
        title="Grad-CAM",
        sentence="the positions that speak for it",
        function="atlas.attribution.grad_cam.grad_cam",
        settings=("layer",),
    ),
    Method(
        name="guided-backprop",
        title="guided backpropagation",
        sentence="the gradient, with only positive signal passed at each rectifier",
        function="atlas.attribution.guided_backprop.guided_backprop",
        rectified=True,
    ),
    Method(
        name="deconvnet",
        title="deconvnet",
        sentence="the signal sent back, clipped at 0 at each rectifier",
        function="atlas.attribution.guided_backprop.deconvnet",
        rectified=True,
    ),
)
METHODS = {method.name: method for method in _ROWS}
"""Every method by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of all methods; each takes those that its row names.

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
    """The result of a method: `map` is `b h w` in the picture's size; `raw` as the method gives it.

    `raw` is `b c h w` by colour, or for Grad-CAM `b h w` on the layer's grid. If `signed`, positive values support the
    score and negative ones oppose it.
    """

    map: Tensor
    raw: Tensor
    signed: bool


def taking(setting: str) -> list[str]:
    """Return the names of the methods that take a setting."""
    return [method.name for method in METHODS.values() if setting in method.settings]


def attribute(module: nn.Module, x: Tensor, score: Score, method: str, settings: Settings | None = None) -> Attribution:
    """Explain the score of pictures `b c h w` by a method of METHODS.

    Raises ValueError for an unknown method, or Grad-CAM without a layer; UndefinedMethodError (a ValueError) if the
    method has no rule for one of the model's operators.
    """
    if method not in METHODS:
        raise ValueError(f"no attribution method {method!r}; there are {', '.join(METHODS)}")
    row, settings = METHODS[method], settings or Settings()
    chosen = {name: getattr(settings, name) for name in row.settings}
    if "layer" in chosen and chosen["layer"] is None:
        raise ValueError(f"{method} needs a layer")
    path, _, function = row.function.rpartition(".")
    raw: Tensor = getattr(importlib.import_module(path), function)(module, x, score, **chosen)
    size = (x.shape[2], x.shape[3])
    return Attribution(map=as_map(raw, size, signed=row.signed), raw=raw, signed=row.signed)


def as_map(raw: Tensor, size: tuple[int, int], *, signed: bool) -> Tensor:
    """Return the map `b h w` of an attribution.

    Shares of the score are summed over colours; of gradients the largest absolute value over colours counts (Simonyan
    et al. 2013, section 3.1). An attribution without colours, `b h w` on a layer's grid, is enlarged bilinearly.
    """
    import torch.nn.functional as F

    if raw.ndim == 3:
        return F.interpolate(raw[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return raw.sum(1) if signed else raw.abs().amax(1)
