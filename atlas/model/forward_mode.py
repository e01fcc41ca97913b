"""Forward mode: move a layer's activation along a direction, and read off in one pass how all that follows moves.

A tangent that is the activation's own value at one position, and zero elsewhere, gives h·∂f/∂h for every output f at
once: the linear attribution of the Activation Atlas (Carter et al., Distill 2019) for all classes, where gradients would
take a pass per class.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from atlas.arrays import Layer
from atlas.model.activations import UnknownLayerError, run_to, view
from atlas.model.dispatch import first_tensor, slow_attention

Direction = Callable[[Tensor], Tensor]
"""From an activation `b c h w` to the tangent it is moved by, of the same shape."""


class NoTangentError(ValueError):
    """What was to be moved does not reach what was to be read, or an operation on the way has no forward mode."""


def attribution(
    module: nn.Module, images: Tensor, layer: Layer, y: Tensor, x: Tensor, logits: Callable[[Any], Tensor]
) -> Tensor:
    """Return the linear attribution h·∂logit/∂h of one position `y`, `x` per image to every class, `b k`.

    `logits` finds the class scores `b k` in the module's output. At the last linear layer's input, the attributions of
    all positions add up to logit − bias.

    Raises NoTangentError where the layer's output does not reach the scores.
    """
    return to_output(module, images, layer, own_value(y, x), logits)


def own_value(y: Tensor, x: Tensor, unit: Tensor | None = None) -> Direction:
    """Return the direction that is the activation itself at a position per image (of one unit, if given), else zero."""

    def direction(activation: Tensor) -> Tensor:
        place = (torch.arange(len(activation), device=activation.device), slice(None) if unit is None else unit, y, x)
        moved = torch.zeros_like(activation)
        moved[place] = activation[place]
        return moved

    return direction


def to_output(
    module: nn.Module, images: Tensor, layer: Layer, direction: Direction, read: Callable[[Any], Tensor]
) -> Tensor:
    """Return how `read(output)` moves when the layer's activation moves along `direction`."""
    with _moving(module, layer, direction):
        return _tangent(read(module(images)), layer, "the class scores")


def to_layer(module: nn.Module, images: Tensor, layer: Layer, direction: Direction, later: Layer) -> Tensor:
    """Return how a later layer's activation `b c h w` moves when the layer's moves along `direction`."""
    moved: list[Tensor] = []

    def visit(_: str, activation: Tensor) -> None:
        moved.append(_tangent(activation, layer, f"layer {later.name}"))

    with _moving(module, layer, direction):
        run_to(module, images, {later.name: later}, visit)
    return moved[0]


@contextmanager
def replacing(module: nn.Module, layer: Layer, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """In this block, let what follows the layer see `change(raw output)` in place of its raw output."""
    base, call = _call(layer.name)
    child = dict(module.named_modules()).get(base)
    if child is None:
        raise UnknownLayerError(f"the model has no layer {layer.name!r}")
    calls = 0

    def begin(*_: Any) -> None:
        nonlocal calls
        calls = 0

    def hook(_: nn.Module, args: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        raw = first_tensor(output) if call in (None, calls - 1) else None
        return None if raw is None else _with_first(output, change(raw))

    with ExitStack() as stack:
        stack.callback(module.register_forward_pre_hook(begin).remove)
        stack.callback(child.register_forward_hook(hook).remove)
        yield


@contextmanager
def _moving(module: nn.Module, layer: Layer, direction: Direction) -> Iterator[None]:
    """Open one level of forward mode in which the layer's activation moves along `direction`.

    Gradients are off, but not by inference mode, under which tangents vanish in silence; so do those of fused attention.
    """

    def change(raw: Tensor) -> Tensor:
        tangent = torch.zeros_like(raw)
        view(tangent, layer).copy_(direction(view(raw, layer)))
        moving: Tensor = forward_ad.make_dual(raw, tangent)  # type: ignore[no-untyped-call]
        return moving

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        for context in (torch.no_grad(), slow_attention(), sdpa_kernel(SDPBackend.MATH), forward_ad.dual_level()):
            stack.enter_context(context)
        stack.enter_context(replacing(module, layer, change))
        try:
            yield
        except NotImplementedError as error:
            raise NoTangentError(
                f"an operation after layer {layer.name} has no forward mode in torch: {str(error).splitlines()[0]}"
            ) from None


def _tangent(moved: Tensor, layer: Layer, what: str) -> Tensor:
    tangent: Tensor | None = forward_ad.unpack_dual(moved).tangent  # type: ignore[no-untyped-call]
    if tangent is None:
        raise NoTangentError(
            f"layer {layer.name} does not reach {what}: they branch apart, or the layer's output is dropped or detached"
        )
    return tangent


def _call(name: str) -> tuple[str, int | None]:
    """Return the module of `layer@call`, and which of its calls is meant."""
    head, _, call = name.rpartition("@")
    return (head, int(call)) if head and call.isdigit() else (name, None)


def _with_first(output: Any, new: Tensor) -> Any:
    """Return a layer's output with its first tensor replaced, the same one that `first_tensor` finds."""
    if isinstance(output, Tensor):
        return new
    fields = isinstance(output, Mapping) or dataclasses.is_dataclass(output)
    items = list((output if isinstance(output, Mapping) else vars(output)).items() if fields else enumerate(output))
    key, inner = next((key, item) for key, item in items if first_tensor(item) is not None)
    replaced = _with_first(inner, new)
    if not fields:
        values = [replaced if number == key else item for number, item in items]
        return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)
    changed = copy.copy(output)
    if isinstance(changed, Mapping):
        changed[key] = replaced  # type: ignore[index]
    else:
        object.__setattr__(changed, key, replaced)
    return changed
