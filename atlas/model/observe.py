"""Run a model on two input sizes and note the shape of what every layer gives."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import conv, pooling

from atlas.model.axes import BATCH, OTHER_BATCH, TALLER, WIDER, Seen
from atlas.model.dispatch import first_tensor, slow_attention

_UNITS_FIRST = (
    conv._ConvNd,
    pooling._AvgPoolNd,
    pooling._MaxPoolNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
    nn.BatchNorm2d,
)
_UNITS_LAST = (nn.Linear.forward, nn.LayerNorm.forward)
"""By what they run, since subclasses turn the axes (torchvision's LayerNorm2d)."""


def observe(module: nn.Module, example: Tensor) -> list[Seen]:
    """Run both sizes and return what every layer gave, in the order in which they finish."""
    height, width = example.shape[1:]
    larger = torch.zeros(OTHER_BATCH, len(example), height + TALLER, width + WIDER, dtype=example.dtype)
    # The larger one first: what a module may remember of its last input is then the size it will see.
    other = {one.name: one.shape for one in _calls(module, larger.to(example.device), may_fail=True)}
    seen = _calls(module, example.expand(BATCH, -1, -1, -1).contiguous(), may_fail=False)
    return [dataclasses.replace(one, other=other.get(one.name) or None) for one in seen]


def _calls(module: nn.Module, x: Tensor, may_fail: bool) -> list[Seen]:
    """Return every call of a module: the shape of its first tensor, empty if there is none of numbers.

    A model that does not take the size may fail halfway: what ran before counts.
    """
    calls: list[Seen] = []

    def hook_of(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            tensor = first_tensor(output)
            shape = tuple(tensor.shape) if tensor is not None and tensor.is_floating_point() else ()
            units = 1 if isinstance(module, _UNITS_FIRST) else -1 if type(module).forward in _UNITS_LAST else 0
            calls.append(Seen(name=name, shape=shape, other=None, units=units))

        return hook

    with ExitStack() as stack, torch.no_grad():
        stack.enter_context(slow_attention())
        for name, child in module.named_modules():
            if name:
                stack.callback(child.register_forward_hook(hook_of(name)).remove)
        try:
            module(x)
        except Exception:
            if not may_fail:
                raise
    return _numbered(calls)


def _numbered(calls: list[Seen]) -> list[Seen]:
    """Name the calls: `layer`, or `layer@call` where there are several."""
    total, so_far = Counter(one.name for one in calls), Counter[str]()
    named = []
    for one in calls:
        name = one.name if total[one.name] == 1 else f"{one.name}@{so_far[one.name]}"
        named.append(dataclasses.replace(one, name=name))
        so_far[one.name] += 1
    return named
