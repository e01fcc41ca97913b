"""Guided backpropagation and deconvnet: the backward pass with another rule at every rectifier.

The rule is set on autograd's own record of the pass, so that it reaches every rectifier however it was written: as a
module, shared by several layers, functional, in place, or inside a script. Module hooks miss all but the first.
Max pooling sends the signal to the place of the maximum, which is what the paper's switches do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from atlas.attribution.gradients import by_input
from atlas.attribution.relu_rules import PLAIN, multiplies, name_of, rectifies, spoken
from atlas.attribution.scores import Score, source

Rule = Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, ...]]
"""Takes a rectifier's gradients by its input and by its output, and gives what goes on backwards."""


class UndefinedMethodError(ValueError):
    """The model computes something for which the method has no rule."""


def guided_backprop(module: nn.Module, x: Tensor, score: Score) -> Tensor:
    """Return the gradient that only keeps what is positive before and after each rectifier, `b c h w`.

    Springenberg et al. 2014. Raises UndefinedMethodError naming the operator and layer where a nonlinearity is no
    rectifier.
    """
    return _backwards(module, x, score, "guided-backprop", lambda by_input, by_output: (by_input[0].clamp(min=0),))


def deconvnet(module: nn.Module, x: Tensor, score: Score) -> Tensor:
    """Return the signal sent backwards that rectifiers clip at 0 whatever they did forwards, `b c h w`.

    Zeiler & Fergus 2013, section 2.1. Raises UndefinedMethodError as `guided_backprop` does.
    """
    return _backwards(module, x, score, "deconvnet", lambda by_input, by_output: (by_output[0].clamp(min=0),))


def _backwards(module: nn.Module, x: Tensor, score: Score, method: str, rule: Rule) -> Tensor:
    leaf = x.detach().requires_grad_()
    with torch.enable_grad(), _noting_layers(module) as layers:
        root = source(module, score, leaf)
        # All nodes are held until the end: autograd forgets the hook of one that Python no longer knows.
        nodes, on_path = _between(root, leaf)
        for node in nodes:
            if rectifies(node):
                node.register_hook(rule)
            elif multiplies(node, on_path):
                raise UndefinedMethodError(_refusal(method, node, "a product of activations", layers))
            elif name_of(node) not in PLAIN:
                raise UndefinedMethodError(_refusal(method, node, spoken(node), layers))
        return by_input(score.read(root), leaf)


def _between(root: Tensor, leaf: Tensor) -> tuple[list[Any], Callable[[Any], bool]]:
    """Return the operations by which the leaf reaches the root, in their order; not those on weights alone.

    The second value tells whether an operation, or the leaf, is one of them.
    """
    end = torch.autograd.graph.get_gradient_edge(leaf).node
    reaches: dict[Any, bool] = {end: True}
    stack = [] if root.grad_fn is None else [(root.grad_fn, False)]
    while stack:
        node, done = stack.pop()
        before = [one for one, _ in node.next_functions if one is not None]
        if done:
            reaches[node] = any(reaches[one] for one in before)
        elif node not in reaches:
            reaches[node] = False
            stack += [(node, True), *((one, False) for one in before)]
    found = [node for node, reached in reaches.items() if reached and node is not end]
    return sorted(found, key=lambda node: node._sequence_nr()), lambda node: reaches.get(node, False)


class _Layers:
    """Which layer an operation belongs to, by the number autograd counted it under."""

    def __init__(self) -> None:
        self.running: list[tuple[int, str]] = []
        self.ended: list[tuple[int, int, str]] = []

    def of(self, number: int) -> str:
        # Layers inside others end first, so the first that holds the number is the innermost. What a pass that
        # stops at its layer leaves running holds the rest.
        for first, past, name in self.ended:
            if first <= number < past:
                return name
        return next((name for first, name in reversed(self.running) if first <= number), "")


@contextmanager
def _noting_layers(module: nn.Module) -> Iterator[_Layers]:
    """Note which operations each layer makes while the module runs in this block."""
    layers = _Layers()

    def before_of(name: str) -> Callable[..., None]:
        return lambda module, args: layers.running.append((_count(), name))

    def after(module: nn.Module, args: Any, output: Any) -> None:
        first, name = layers.running.pop()
        layers.ended.append((first, _count(), name))

    handles = []
    for name, child in module.named_modules():
        handles += [child.register_forward_pre_hook(before_of(name)), child.register_forward_hook(after)]
    try:
        yield layers
    finally:
        for handle in handles:
            handle.remove()


def _count() -> int:
    return int(torch.autograd._get_sequence_nr())  # type: ignore[attr-defined]


def _refusal(method: str, node: Any, what: str, layers: _Layers) -> str:
    layer = layers.of(node._sequence_nr())
    where = f"layer {layer!r}" if layer else "the model itself"
    return (
        f"{method} is defined where rectifiers (ReLU, ReLU6) and max pooling are the only nonlinearities, and "
        f"{where} computes {what}; use gradient, smoothgrad or integrated-gradients"
    )
