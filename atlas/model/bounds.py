"""Make sure that no convolution of a fused graph can give a value that is not a number.

oneDNN's rectifiers turn NaN into a number, so a fused graph would hide what overflows in a model. NaN comes from
infinite values, and these from large ones: each convolution multiplies the largest absolute value by at most the sum of
its weights' absolute values. Bounds follow from operator to operator, and where nothing is known of a convolution's input
any more, or its bound is too large, the graph looks at the values itself and stops if one exceeds the limit.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from atlas.model.fusing import convolve_clamped

LIMIT = 2.0**20
"""Largest absolute value that a graph goes on with where it looks."""
SAFE = 1e30
"""Largest bound of a convolution's output: sums in any order, and oneDNN's intermediate ones, stay far below 3e38."""

_aten = torch.ops.aten


class LargeValuesError(ArithmeticError):
    """A value is larger than what a fused graph is known to be right for, or is not finite."""


def check(values: Tensor) -> None:
    """Raise LargeValuesError where a value exceeds the limit or is not finite."""
    low, high = (float(value) for value in torch.aminmax(values))
    if not -LIMIT <= low <= high <= LIMIT:
        raise LargeValuesError(f"a value between {low:g} and {high:g} may overflow")


def add_checks(traced: fx.GraphModule) -> int:
    """Add the checks that a fused graph needs; return their number. Raises ValueError where none would do."""
    bounds, count = _Bounds(traced), 0
    for node in list(traced.graph.nodes):
        if node.target is convolve_clamped and not bounds.after(*node.args[:3]) <= SAFE:
            source = bounds.root(node.args[0])
            with traced.graph.inserting_before(node):
                traced.graph.call_function(check, (source,))
            bounds.known[source] = LIMIT
            count += 1
            if not bounds.after(*node.args[:3]) <= SAFE:
                raise ValueError("its weights are too large")
        bounds.follow(node)
    return count


class _Bounds:
    """The largest absolute value of each node's tensor; infinite where nothing is known, or it may not be finite.

    Views share the bound of what they are views of, since an operation in place changes both.
    """

    def __init__(self, traced: fx.GraphModule) -> None:
        self._traced = traced
        self.known: dict[fx.Node, float] = {}
        self._roots: dict[fx.Node, fx.Node] = {}

    def root(self, node: Any) -> fx.Node:
        root: fx.Node = self._roots.get(node, node)
        return root

    def of(self, value: Any) -> float:
        if isinstance(value, int | float):
            return abs(value)
        return self.known.get(self.root(value), math.inf) if isinstance(value, fx.Node) else math.inf

    def after(self, picture: Any, weight: Any, bias: Any) -> float:
        """Return the bound of a convolution's output before it is clamped."""
        gain = _largest(self.constant(weight).double().abs().flatten(1).sum(1))
        return self.of(picture) * gain + (0.0 if bias is None else _largest(self.constant(bias)))

    def follow(self, node: fx.Node) -> None:
        """Note the bound of a node's tensor by those of its arguments."""
        if node.op == "get_attr":
            self.known[node] = _largest(getattr(self._traced, str(node.target)))
        elif node.target in _VIEWS:
            self._roots[node] = self.root(node.args[0])
        elif _is_mutable(node.target):
            self._change(node)
        elif node.target in _RULES and not node.kwargs:
            bound = _RULES[node.target](self, *node.args)
            if bound <= SAFE:
                self.known[node] = bound

    def _change(self, node: fx.Node) -> None:
        """Follow an operation in place. Where it may enlarge values that nothing is known of, no bound is certain any more."""
        root = self.root(node.args[0])
        if root.op == "get_attr":
            raise ValueError("it changes its weights")
        bound = _RULES[node.target](self, *node.args) if node.target in _RULES and not node.kwargs else math.inf
        self._roots[node] = root
        if bound <= SAFE:
            self.known[root] = max(bound, self.of(root))
        elif node.target not in _SHRINK:
            self.known.clear()

    def constant(self, node: fx.Node) -> Tensor:
        """Return a weight; infinite if it is computed in the graph."""
        tensor: Tensor = (
            getattr(self._traced, str(node.target)) if node.op == "get_attr" else torch.full((1, 1), math.inf)
        )
        return tensor


def _is_mutable(target: Any) -> bool:
    return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable


def _largest(values: Tensor) -> float:
    largest = float(values.detach().abs().max()) if values.numel() else 0.0
    return largest if math.isfinite(largest) else math.inf


def _first(bounds: _Bounds, first: Any, *rest: Any) -> float:
    return bounds.of(first)


def _clamped(bounds: _Bounds, first: Any, low: float = -1.0, high: float = 1.0) -> float:
    return max(abs(low), abs(high)) if bounds.of(first) <= SAFE else math.inf


def _within_one(bounds: _Bounds, first: Any, *rest: Any) -> float:
    return 1.0 if bounds.of(first) <= SAFE else math.inf


def _sum(bounds: _Bounds, first: Any, second: Any) -> float:
    return bounds.of(first) + bounds.of(second)


def _product(bounds: _Bounds, first: Any, second: Any) -> float:
    return bounds.of(first) * bounds.of(second)


def _joined(bounds: _Bounds, parts: Any, *rest: Any) -> float:
    return max(bounds.of(part) for part in parts)


def _bordered(bounds: _Bounds, first: Any, sides: Any, value: float = 0.0) -> float:
    return max(bounds.of(first), abs(value))


def _normalised(bounds: _Bounds, first: Any, *constants: Any) -> float:
    """Bound a batch norm by its running statistics."""
    if constants[4] or None in constants[:4]:
        return math.inf
    weight, bias, mean, variance = (bounds.constant(node).double() for node in constants[:4])
    scale = weight * (variance + constants[-1]).rsqrt()
    return bounds.of(first) * _largest(scale) + _largest(mean * scale) + _largest(bias)


def _convolved(bounds: _Bounds, picture: Any, weight: Any, bias: Any, *settings: Any) -> float:
    return math.inf if settings[3] else bounds.after(picture, weight, bias)  # transposed: its weights sum otherwise


def _clamped_convolution(bounds: _Bounds, picture: Any, weight: Any, bias: Any, settings: Any, *limits: Any) -> float:
    low, high = limits
    before = bounds.after(picture, weight, bias)
    return before if high is None else max(abs(low), abs(high))


_VIEWS = {
    *(_aten.view.default, _aten.permute.default, _aten.transpose.int, _aten.alias.default, _aten.unsqueeze.default),
    *(_aten.slice.Tensor, _aten.select.int, _aten.squeeze.dim, _aten.detach.default, _aten.expand.default),
}
_SHRINK = {_aten.relu_.default, _aten.silu_.default, _aten.hardswish_.default, _aten.hardtanh_.default}
"""Operations in place that make no value larger than their limits."""
_RULES: dict[Any, Callable[..., float]] = {
    **dict.fromkeys((_aten.relu.default, _aten.relu_.default, _aten.silu.default, _aten.silu_.default), _first),
    **dict.fromkeys((_aten.hardswish.default, _aten.hardswish_.default), _first),
    **dict.fromkeys((_aten.max_pool2d_with_indices.default, _aten.avg_pool2d.default, _aten.mean.dim), _first),
    **dict.fromkeys((_aten._adaptive_avg_pool2d.default, _aten.clone.default, _aten._unsafe_view.default), _first),
    **dict.fromkeys((_aten.hardtanh.default, _aten.hardtanh_.default), _clamped),
    **dict.fromkeys((_aten.sigmoid.default, _aten.hardsigmoid.default, _aten._softmax.default), _within_one),
    **dict.fromkeys((_aten.add.Tensor, _aten.add_.Tensor, _aten.sub.Tensor), _sum),
    **dict.fromkeys((_aten.mul.Tensor, _aten.mul_.Tensor), _product),
    operator.getitem: _first,
    _aten.constant_pad_nd.default: _bordered,
    _aten.cat.default: _joined,
    _aten.native_batch_norm.default: _normalised,
    _aten.convolution.default: _convolved,
    convolve_clamped: _clamped_convolution,
}
"""By operator, its output's bound. Of what is missing here nothing is known."""
