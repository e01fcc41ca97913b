"""Fuse a model's operators for drawing on a CPU: the same numbers in fewer passes over memory, a seventh faster.

The model is traced up to the layers once per shape of pictures, and the trace fused as `atlas.model.fusing` does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from atlas.inversion.objectives import Activations
from atlas.model.fusing import RECTIFIERS, can_fuse, convolve_clamped, merge_borders, merge_rectifiers

TOLERANCE = 1e-4
"""Largest difference between trace and model, relative to the largest value; most models show none."""

_aten = torch.ops.aten


class Fused:
    """A `Forward` that traces another when gradients are needed, once per shape of pictures."""

    def __init__(self, forward: Any) -> None:
        self.forward = forward
        self._traced: dict[tuple[int, ...], Any] = {}

    def __call__(self, pictures: Tensor) -> Activations:
        if not torch.is_grad_enabled() or not can_fuse(pictures):
            return self.forward(pictures)  # type: ignore[no-any-return]
        shape = tuple(pictures.shape)
        if shape not in self._traced:
            self._traced[shape] = _trace(self.forward, pictures.detach())
        return self._traced[shape](pictures)  # type: ignore[no-any-return]


def _trace(forward: Any, pictures: Tensor) -> Any:
    """Return the fused trace of `forward`, or `forward` itself if there is nothing to fuse or it can't be traced."""
    try:
        with torch.no_grad():
            traced: fx.GraphModule = make_fx(forward)(pictures)
    except Exception:  # control flow on values, or an untraceable operator: run the model unfused
        return forward
    changes = merge_borders(traced.graph) + merge_rectifiers(traced.graph, convolve_rectified, RECTIFIERS)
    if not changes:
        return forward
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced if _outputs_match(forward, traced, pictures) else forward


def convolve_rectified(
    picture: Tensor, weight: Tensor, bias: Tensor | None, settings: Any, low: float, high: float | None
) -> Tensor:
    """Convolve `b c h w` and clamp to low..high; `settings` are stride, padding, dilation and groups."""
    output: Tensor = _Rectified.apply(picture, weight, bias, settings, low, high)
    return output


class _Rectified(torch.autograd.Function):
    """Computes the gradient of the picture only: drawing does not change the weights."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor, weight: Tensor, bias: Any, settings: Any, low: float, high: Any) -> Tensor:
        out = convolve_clamped(picture, weight, bias, settings, low, high)
        ctx.save_for_backward(picture, weight, out)
        ctx.settings, ctx.low, ctx.high = settings, low, high
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        picture, weight, out = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.settings
        if ctx.high is None:
            passed = _aten.threshold_backward(gradients[0], out, ctx.low)
        else:
            passed = _aten.hardtanh_backward(gradients[0], out, ctx.low, ctx.high)
        only = [True, False, False]
        back = _aten.convolution_backward(
            passed, picture, weight, None, stride, padding, dilation, False, [0, 0], groups, only
        )
        return back[0], None, None, None, None, None


def _outputs_match(forward: Any, traced: Any, pictures: Tensor) -> bool:
    """Check that both return the same for the pictures and for random ones, gradients included."""
    others = torch.rand(pictures.shape, generator=torch.Generator().manual_seed(0))
    return all(
        _close(expected, actual)
        for shown in (pictures, others)
        for expected, actual in zip(_with_gradient(forward, shown), _with_gradient(traced, shown), strict=True)
    )


def _with_gradient(forward: Any, pictures: Tensor) -> list[Tensor]:
    with torch.enable_grad():
        leaf = pictures.detach().clone().requires_grad_()
        activations = forward(leaf)
        total = torch.stack([maps.square().sum() for maps in activations.values()]).sum()
        (gradient,) = torch.autograd.grad(total, [leaf])
    return [*(maps.detach() for maps in activations.values()), gradient]


def _close(expected: Tensor, actual: Tensor) -> bool:
    return expected.shape == actual.shape and bool((expected - actual).abs().max() <= TOLERANCE * expected.abs().max())
