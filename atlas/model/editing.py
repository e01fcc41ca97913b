"""Change a layer's activation while a model runs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.model.activations import split_call, view
from atlas.model.dispatch import slow_attention

Edit = Callable[[Tensor], None]
"""Changes an activation `b c h w` in place."""


@contextmanager
def editing(module: nn.Module, layer: Layer, edit: Edit) -> Iterator[None]:
    """Change a layer's activation by `edit` in each pass in this block; later modules see the changed one.

    The model's own tensor is left alone: an earlier module, or a shortcut around the layer, may still use it.
    """
    modules = dict(module.named_modules())
    base, wanted = split_call(layer.name, modules)
    calls = [0]

    def reset(_module: nn.Module, _args: Any) -> None:
        calls[0] = 0

    def change(_module: nn.Module, _args: Any, output: Any) -> Any:
        calls[0] += 1
        if wanted is not None and calls[0] - 1 != wanted:
            return None
        changed = _with_first(output, torch.clone)
        edit(view(changed, layer))
        return changed

    handles = [module.register_forward_pre_hook(reset), modules[base].register_forward_hook(change)]
    try:
        with slow_attention():
            yield
    finally:
        for handle in handles:
            handle.remove()


def scale(units: list[int], factor: float) -> Edit:
    """Multiply units by a factor."""

    def edit(activation: Tensor) -> None:
        activation[:, units] *= factor

    return edit


def constant(units: list[int], values: Tensor) -> Edit:
    """Give each unit one value at all positions; `values` are `n`, one per unit."""

    def edit(activation: Tensor) -> None:
        activation[:, units] = values.to(activation)[None, :, None, None]

    return edit


def resample(units: list[int], order: Tensor) -> Edit:
    """Give each image of the batch the units' maps of another one; `order` is `b`, the images that they are from."""

    def edit(activation: Tensor) -> None:
        activation[:, units] = activation[:, units][order]

    return edit


def _with_first(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a layer's output with its first tensor changed, in the order of `first_tensor`."""
    done = [False]

    def walk(item: Any) -> Any:
        if done[0]:
            return item
        if isinstance(item, Tensor):
            done[0] = True
            return change(item)
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return _updated(copy.copy(item), vars(item), setattr, walk)
        if isinstance(item, Mapping):
            return _updated(copy.copy(item), item, lambda whole, key, value: whole.__setitem__(key, value), walk)
        if isinstance(item, tuple | list):
            parts = [walk(part) for part in item]
            return type(item)(*parts) if hasattr(item, "_fields") else type(item)(parts)
        return item

    return walk(output)


def _updated(
    whole: Any, items: Mapping[str, Any], put: Callable[[Any, str, Any], None], walk: Callable[[Any], Any]
) -> Any:
    for key, value in list(items.items()):
        changed = walk(value)
        if changed is not value:
            put(whole, key, changed)
    return whole
