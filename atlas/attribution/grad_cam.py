"""Grad-CAM: the positions of a layer, weighted by how its units move the score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.attribution.scores import Score, values
from atlas.model.activations import view


def grad_cam(module: nn.Module, x: Tensor, score: Score, layer: Layer) -> Tensor:
    """Return max(0, Σ_c w_c A_c), `b h w` on the layer's grid, where w_c is the mean of ∂score/∂A_c over positions.

    Selvaraju et al. 2017, equations 1 and 2. Captum's equals it for convolutional layers; this one also lays tokens on
    their grid, turns channels-last layers and tells the calls of a shared layer apart.

    Raises ValueError where the score does not depend on the layer by any gradient.
    """
    raw, by_raw = _gradient_at(module, x, score, layer)
    if raw is None or by_raw is None:
        raise ValueError(f"the score does not depend on layer {layer.name} by any gradient; choose one before it")
    activation, by_activation = view(raw.detach(), layer), view(by_raw, layer)
    weights = by_activation.mean((2, 3), keepdim=True)
    return (weights * activation).sum(1).clamp(min=0)


def moves(module: nn.Module, x: Tensor, score: Score, layer: Layer) -> bool:
    """Tell whether anything at the layer's positions moves the score."""
    _, by_raw = _gradient_at(module, x, score, layer)
    return by_raw is not None and bool(view(by_raw, layer).any())


def _gradient_at(module: nn.Module, x: Tensor, score: Score, layer: Layer) -> tuple[Tensor | None, Tensor | None]:
    """Return what the layer gives and the score's gradient by it, as they are in the module; None where there is none."""
    with torch.enable_grad(), _catching(module, layer) as caught:
        score_of = values(module, score, x.detach().requires_grad_())
        raw = caught[0] if caught else None
        if raw is None or not score_of.requires_grad:
            return raw, None
        return raw, torch.autograd.grad(score_of.sum(), raw, allow_unused=True)[0]


@contextmanager
def _catching(module: nn.Module, layer: Layer) -> Iterator[list[Tensor]]:
    """Keep what the layer gives, and send a copy on: an in-place operation after it must not overwrite what is kept."""
    caught: list[Tensor] = []
    base, call = _call(layer.name, dict(module.named_modules()))
    seen = 0

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen - 1 != call:
            return None
        return _swapped(output, caught.append)

    handle = module.get_submodule(base).register_forward_hook(hook)
    try:
        yield caught
    finally:
        handle.remove()


def _call(name: str, modules: dict[str, nn.Module]) -> tuple[str, int]:
    """Return the module's path and which of its calls is meant, of `layer` or `layer@call`."""
    if name in modules:
        return name, 0
    base, _, call = name.rpartition("@")
    return base, int(call)


def _swapped(output: Any, keep: Callable[[Tensor], None]) -> Any:
    """Keep the first tensor of an output, and return the output with a copy in its place."""
    if isinstance(output, Tensor):
        keep(output)
        return output.clone()
    if type(output) in (tuple, list):
        place = next((i for i, one in enumerate(output) if isinstance(one, Tensor)), None)
        if place is not None:
            return type(output)(_swapped(one, keep) if i == place else one for i, one in enumerate(output))
    raise ValueError(f"Grad-CAM needs a layer that gives a tensor or a tuple of them, not {type(output).__name__}")
