"""Run a model at two input sizes and record the shape of every layer's output."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import conv, pooling

from atlas.model.axes import BATCH, OTHER_BATCH, TALLER, WIDER, LayerOutput
from atlas.model.dispatch import first_tensor, is_plain, slow_attention

_UNITS_FIRST = (
    conv._ConvNd,
    pooling._AvgPoolNd,
    pooling._MaxPoolNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
    nn.BatchNorm2d,
)
_UNITS_LAST = (nn.Linear.forward, nn.LayerNorm.forward)
"""Matched by `forward`, since subclasses may permute the axes (torchvision's LayerNorm2d)."""


def observe(module: nn.Module, example: Tensor) -> list[LayerOutput]:
    """Run both sizes and return every layer's output shapes, in the order in which layers finish."""
    height, width = example.shape[1:]
    larger = torch.zeros(OTHER_BATCH, len(example), height + TALLER, width + WIDER, dtype=example.dtype)
    # The larger one first, so that any state a module keeps of its last input matches the size it is used at.
    larger_shapes = {output.name: output.shape for output in _outputs(module, larger.to(example.device), may_fail=True)}
    outputs = _outputs(module, example.expand(BATCH, -1, -1, -1).contiguous(), may_fail=False)
    return [dataclasses.replace(output, larger=larger_shapes.get(output.name) or None) for output in outputs]


def _outputs(module: nn.Module, x: Tensor, may_fail: bool) -> list[LayerOutput]:
    """Return the output of every module call: the shape of its first tensor, empty unless it is floating point.

    A model that does not accept the size may fail halfway; the calls before the failure count.
    """
    calls: list[LayerOutput] = []

    def hook_of(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            tensor = first_tensor(output)
            shape = tuple(tensor.shape) if tensor is not None and is_plain(tensor) else ()
            units = 1 if isinstance(module, _UNITS_FIRST) else -1 if type(module).forward in _UNITS_LAST else 0
            calls.append(LayerOutput(name=name, shape=shape, larger=None, units=units))

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
    return _number_calls(calls)


def _number_calls(calls: list[LayerOutput]) -> list[LayerOutput]:
    """Name the calls: `layer`, or `layer@call` if there are several."""
    total, so_far = Counter(output.name for output in calls), Counter[str]()
    named = []
    for output in calls:
        name = output.name if total[output.name] == 1 else f"{output.name}@{so_far[output.name]}"
        named.append(dataclasses.replace(output, name=name))
        so_far[output.name] += 1
    return named
