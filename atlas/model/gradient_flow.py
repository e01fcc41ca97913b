"""Find out whether a gradient passes from a picture to a layer, or to what is read from the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.model import trial
from atlas.model.activations import Recordable, run_to

FROZEN = "no gradient passes from the picture to it (no_grad, detach or numpy on the way)"


def why_no_gradient(model: nn.Module | Recordable, layer: Layer, x: Tensor) -> str:
    """Return why no gradient passes from pictures `b c h w` to a layer, empty where one does."""
    values: list[Tensor] = []

    def run(x: Tensor) -> Tensor:
        run_to(model, x, {layer.name: layer}, lambda name, activation: values.append(activation))
        return values[-1]

    return _why_none(run, x)


def why_none_of(module: nn.Module, read: Callable[[Any], Tensor], x: Tensor) -> str:
    """Return why no gradient passes from pictures `b c h w` to `read(output)`, empty where one does."""
    return _why_none(lambda x: read(module(x)), x)


def _why_none(run: Callable[[Tensor], Tensor], x: Tensor) -> str:
    try:
        with torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            value = run(leaf.clone())
            if not value.requires_grad:
                return FROZEN
            torch.autograd.grad(value.float().sum(), [leaf], allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        with torch.no_grad():
            run(x.clone())  # raises what has nothing to do with gradients
        return f"torch has no gradient of it ({trial.cause(error)})"
    return ""
