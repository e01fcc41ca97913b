"""Redirect the gradient through rectifiers that block all of it, in a picture's first steps.

The initial picture may not excite a rectified unit at all. Then the gradient is zero and the picture never changes.
Source: lucid, `misc/redirected_relu_grad.py`. As there, a rectifier's gradient is replaced only for those pictures for
which it would be zero everywhere, and only by the part that pushes its input back into the active range. (At the ends
of the range torch's rectifiers pass nothing, TensorFlow's do.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from atlas.attribution.relu_rules import is_rectifier, operator_name
from atlas.inversion.objectives import Activations
from atlas.inversion.render import Forward

STEPS = 16
"""Number of redirected steps, as in lucid."""


def redirecting(forward: Forward, steps: int = STEPS, afterwards: Forward | None = None) -> Forward:
    """Wrap `forward` to redirect gradients in the first `steps` calls; later calls go to `afterwards`.

    Make a new one per batch. Rectifiers are found on autograd's graph of the pass, so modules and functions are covered
    alike, but not rectifiers that are fused with other operators: only `afterwards` may fuse them.
    """
    remaining = steps
    nodes: list[Any] = []

    def redirected(pictures: Tensor) -> Activations:
        nonlocal remaining
        nodes.clear()
        if remaining <= 0:
            return (afterwards or forward)(pictures)
        activations = forward(pictures)
        if torch.is_grad_enabled():
            remaining -= 1
            # All nodes are held until the next step: autograd drops the hooks of a node that Python has released.
            nodes.extend(_nodes(activations.values()))
            for node in nodes:
                if is_rectifier(node):
                    node.register_hook(_rule(node))
        return activations

    return redirected


def _rule(node: Any) -> Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """Return the hook that redirects a rectifier's gradient. Gradients are of ascent here; lucid's have the other sign."""
    limit = _limit(node)
    above = None if limit is None else node._saved_self >= limit

    def rule(by_input: tuple[Tensor, ...], by_output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        plain, incoming = by_input[0], by_output[0]
        stopped = ~plain.flatten(1).any(1).view(-1, *[1] * (plain.ndim - 1))
        # Where all of it is blocked, every element with an incoming gradient is below the range or above it.
        redirected = (
            incoming.clamp(min=0) if above is None else torch.where(above, incoming.clamp(max=0), incoming.clamp(min=0))
        )
        return (torch.where(stopped, redirected, plain), *by_input[1:])

    return rule


def _limit(node: Any) -> float | None:
    """Return a rectifier's upper limit (ReLU6), None if it has none."""
    limit = getattr(node, "_saved_max_val" if operator_name(node) == "Hardtanh" else "_saved_max", None)
    return None if limit is None else float(limit)


def _nodes(roots: Iterable[Tensor]) -> list[Any]:
    """Return all nodes of the graph behind the tensors."""
    stack = [root.grad_fn for root in roots if root.grad_fn is not None]
    nodes: dict[Any, None] = {}
    while stack:
        node = stack.pop()
        if node not in nodes:
            nodes[node] = None
            stack.extend(before for before, _ in node.next_functions if before is not None)
    return list(nodes)
