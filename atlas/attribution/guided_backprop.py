"""Guided backpropagation and deconvnet: a backward pass with a different rule at every rectifier.

The rule is set on autograd's graph of the pass, so that it reaches every rectifier however it is written: as a module,
shared by several layers, functional, in place, or inside a script. Module hooks miss all but the first. Max pooling
sends the signal to the position of the maximum, as the paper's switches do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from atlas.attribution.gradients import input_gradient
from atlas.attribution.relu_rules import PLAIN, display_name, is_product, is_rectifier, operator_name
from atlas.attribution.scores import Score, source

Rule = Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, ...]]
"""Maps a rectifier's gradients by its input and by its output to those passed on backwards."""


class UndefinedMethodError(ValueError):
    """The model computes something for which the method has no rule."""


def guided_backprop(module: nn.Module, x: Tensor, score: Score) -> Tensor:
    """Return the gradient, passed by each rectifier only where its input and its gradient are positive, `b c h w`.

    Springenberg et al. 2014. Raises UndefinedMethodError, naming the operator and layer, if a nonlinearity is not a
    rectifier.
    """
    return _modified_gradient(
        module, x, score, "guided-backprop", lambda by_input, by_output: (by_input[0].clamp(min=0),)
    )


def deconvnet(module: nn.Module, x: Tensor, score: Score) -> Tensor:
    """Return the backward signal, clipped at 0 by each rectifier whatever its input was, `b c h w`.

    Zeiler & Fergus 2013, section 2.1. Raises UndefinedMethodError as `guided_backprop` does.
    """
    return _modified_gradient(module, x, score, "deconvnet", lambda by_input, by_output: (by_output[0].clamp(min=0),))


def rectifies(module: nn.Module, x: Tensor, score: Score) -> bool:
    """Tell whether a rectifier lies between the pictures and the score; without one, both methods are the plain gradient."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        nodes, _ = _nodes_between(source(module, score, leaf), leaf)
        return any(is_rectifier(node) for node in nodes)


def _modified_gradient(module: nn.Module, x: Tensor, score: Score, method: str, rule: Rule) -> Tensor:
    leaf = x.detach().requires_grad_()
    with torch.enable_grad(), _recording_layers(module) as spans:
        root = source(module, score, leaf)
        # All nodes are held until the end: autograd drops the hooks of a node that Python has released.
        nodes, on_path = _nodes_between(root, leaf)
        for node in nodes:
            if is_rectifier(node):
                node.register_hook(rule)
            elif is_product(node, on_path):
                raise UndefinedMethodError(_undefined_message(method, node, "a product of activations", spans))
            elif operator_name(node) not in PLAIN:
                raise UndefinedMethodError(_undefined_message(method, node, display_name(node), spans))
        return input_gradient(score.read(root), leaf)


def _nodes_between(root: Tensor, leaf: Tensor) -> tuple[list[Any], Callable[[Any], bool]]:
    """Return the graph's nodes on the paths from leaf to root, in execution order; not those on weights alone.

    The second value tells whether a node, or the leaf, is one of them.
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
    path = [node for node, reached in reaches.items() if reached and node is not end]
    return sorted(path, key=lambda node: node._sequence_nr()), lambda node: reaches.get(node, False)


class _LayerSpans:
    """The span of autograd's sequence numbers that each layer covers."""

    def __init__(self) -> None:
        self.running: list[tuple[int, str]] = []
        self.ended: list[tuple[int, int, str]] = []

    def of(self, number: int) -> str:
        # Inner layers end first, so the first span that holds the number is the innermost. A pass that stops at a
        # layer leaves the layers around it running: they hold the rest.
        for first, past, name in self.ended:
            if first <= number < past:
                return name
        return next((name for first, name in reversed(self.running) if first <= number), "")


@contextmanager
def _recording_layers(module: nn.Module) -> Iterator[_LayerSpans]:
    """Record the sequence numbers of each layer's operators while the module runs in this block."""
    spans = _LayerSpans()

    def before_of(name: str) -> Callable[..., None]:
        return lambda module, args: spans.running.append((_sequence_number(), name))

    def after(module: nn.Module, args: Any, output: Any) -> None:
        first, name = spans.running.pop()
        spans.ended.append((first, _sequence_number(), name))

    handles = []
    for name, child in module.named_modules():
        handles += [child.register_forward_pre_hook(before_of(name)), child.register_forward_hook(after)]
    try:
        yield spans
    finally:
        for handle in handles:
            handle.remove()


def _sequence_number() -> int:
    return int(torch.autograd._get_sequence_nr())  # type: ignore[attr-defined]


def _undefined_message(method: str, node: Any, what: str, spans: _LayerSpans) -> str:
    layer = spans.of(node._sequence_nr())
    where = f"layer {layer!r}" if layer else "the model itself"
    return (
        f"{method} is defined where rectifiers (ReLU, ReLU6) and max pooling are the only nonlinearities, and "
        f"{where} computes {what}; use gradient, smoothgrad or integrated-gradients"
    )
