"""Let the gradient through rectifiers that stop all of it, for a picture's first steps.

The first picture may not excite a rectified unit at all. Then nothing tells it what to become, and it stays as it is.
Source: lucid, `misc/redirected_relu_grad.py`. As there, a rectifier's gradient is replaced only for those pictures for
which it would be zero altogether, and only by what pushes its input back into the range where it lets through. (At
the ends of the range torch's rectifiers let nothing through, TensorFlow's do.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from atlas.attribution.relu_rules import is_rectifier, operator_name
from atlas.inversion.objectives import Seen
from atlas.inversion.render import See

STEPS = 16
"""How long; lucid's number."""


def redirecting(see: See, steps: int = STEPS, then: See | None = None) -> See:
    """Show pictures as `see` does, with redirected gradients for the first so many calls; after that as `then` does.

    Make a new one per batch. Rectifiers are found on autograd's record of the pass, so it reaches modules and functions
    alike; but not those that `see` does in one with other operations: only `then` may be so clever.
    """
    left = steps
    held: list[Any] = []

    def look(pictures: Tensor) -> Seen:
        nonlocal left
        held.clear()
        if left <= 0:
            return (then or see)(pictures)
        seen = see(pictures)
        if torch.is_grad_enabled():
            left -= 1
            # All nodes are held until the next step: autograd forgets the hook of one that Python no longer knows.
            held.extend(_nodes(seen.values()))
            for node in held:
                if is_rectifier(node):
                    node.register_hook(_rule(node))
        return seen

    return look


def _rule(node: Any) -> Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """Give what goes on backwards from a rectifier. Gradients point uphill here: lucid's have the other sign."""
    limit = _limit(node)
    over = None if limit is None else node._saved_self >= limit

    def rule(by_input: tuple[Tensor, ...], by_output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        plain, coming = by_input[0], by_output[0]
        stopped = ~plain.flatten(1).any(1).view(-1, *[1] * (plain.ndim - 1))
        # Where all of it is stopped, every place that something comes to is below the range or above it.
        back = coming.clamp(min=0) if over is None else torch.where(over, coming.clamp(max=0), coming.clamp(min=0))
        return (torch.where(stopped, back, plain), *by_input[1:])

    return rule


def _limit(node: Any) -> float | None:
    """Give the upper limit of a rectifier, as ReLU6 has one."""
    limit = getattr(node, "_saved_max_val" if operator_name(node) == "Hardtanh" else "_saved_max", None)
    return None if limit is None else float(limit)


def _nodes(roots: Iterable[Tensor]) -> list[Any]:
    """Return all operations that the tensors came from."""
    stack = [root.grad_fn for root in roots if root.grad_fn is not None]
    found: dict[Any, None] = {}
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(before for before, _ in node.next_functions if before is not None)
    return list(found)
