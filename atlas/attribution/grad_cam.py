"""Grad-CAM: a map over a layer's positions, its units weighted by the score's gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.attribution.scores import Score, values
from atlas.model.activations import split_call, view


def grad_cam(module: nn.Module, x: Tensor, score: Score, layer: Layer) -> Tensor:
    """Return max(0, Σ_c w_c A_c), `b h w` on the layer's grid, where w_c is the mean of ∂score/∂A_c over positions.

    Selvaraju et al. 2017, equations 1 and 2. Captum's is equal for convolutional layers; this one also lays tokens out
    on their grid, permutes channels-last layers and distinguishes the calls of a shared layer.

    Raises ValueError if the score has no gradient with respect to the layer.
    """
    raw, by_raw = _gradient_at(module, x, score, layer)
    if raw is None or by_raw is None:
        raise ValueError(f"the score does not depend on layer {layer.name} by any gradient; choose one before it")
    activation, by_activation = view(raw.detach(), layer), view(by_raw, layer)
    weights = by_activation.mean((2, 3), keepdim=True)
    return (weights * activation).sum(1).clamp(min=0)


def has_gradient(module: nn.Module, x: Tensor, score: Score, layer: Layer) -> bool:
    """Check whether the score has a gradient, not zero everywhere, at the layer's positions."""
    _, by_raw = _gradient_at(module, x, score, layer)
    return by_raw is not None and bool(view(by_raw, layer).any())


def _gradient_at(module: nn.Module, x: Tensor, score: Score, layer: Layer) -> tuple[Tensor | None, Tensor | None]:
    """Return the layer's raw output and the score's gradient with respect to it; None where there is none."""
    with torch.enable_grad(), _capturing(module, layer) as captured:
        score_of = values(module, score, x.detach().requires_grad_())
        raw = captured[0] if captured else None
        if raw is None or not score_of.requires_grad:
            return raw, None
        return raw, torch.autograd.grad(score_of.sum(), raw, allow_unused=True)[0]


@contextmanager
def _capturing(module: nn.Module, layer: Layer) -> Iterator[list[Tensor]]:
    """Capture the layer's output and pass on a copy, so that no later in-place operation overwrites it."""
    captured: list[Tensor] = []
    base, call = split_call(layer.name, dict(module.named_modules()))
    calls = 0

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls - 1 != (call or 0):
            return None
        return _capture_first_tensor(output, captured.append)

    handle = module.get_submodule(base).register_forward_hook(hook)
    try:
        yield captured
    finally:
        handle.remove()


def _capture_first_tensor(output: Any, capture: Callable[[Tensor], None]) -> Any:
    """Capture the first tensor of an output, and return the output with a copy in its place."""
    if isinstance(output, Tensor):
        capture(output)
        return output.clone()
    if type(output) in (tuple, list):
        place = next((i for i, one in enumerate(output) if isinstance(one, Tensor)), None)
        if place is not None:
            return type(output)(
                _capture_first_tensor(one, capture) if i == place else one for i, one in enumerate(output)
            )
    raise ValueError(f"Grad-CAM needs a layer that gives a tensor or a tuple of them, not {type(output).__name__}")
