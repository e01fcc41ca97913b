"""Forward mode: move a layer's activation along a direction and read the change of all later values in one pass.

A tangent that equals the activation at one position, and is zero elsewhere, gives h·∂f/∂h for every output f at once:
the linear attribution of the Activation Atlas (Carter et al., Distill 2019) for all classes, where gradients would take
a pass per class.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from atlas.arrays import Layer
from atlas.model.activations import UnknownLayerError, run_to, split_call, view
from atlas.model.dispatch import first_tensor, slow_attention

Direction = Callable[[Tensor], Tensor]
"""Maps an activation `b c h w` to its tangent, of the same shape."""


class NoTangentError(ValueError):
    """The moved layer does not reach the output that is read, or an operator in between has no forward mode."""


def attribution(
    module: nn.Module, images: Tensor, layer: Layer, y: Tensor, x: Tensor, logits: Callable[[Any], Tensor]
) -> Tensor:
    """Return the linear attribution h·∂logit/∂h of one position `y`, `x` per image to every class, `b k`.

    `logits` extracts the class scores `b k` from the module's output. At the last linear layer's input, those of
    all positions add up to logit − bias.

    Raises NoTangentError where the layer's output does not reach the scores.
    """
    return output_tangent(module, images, layer, own_value(y, x), logits)


def own_value(y: Tensor, x: Tensor, unit: Tensor | None = None) -> Direction:
    """Return the direction that equals the activation at one position per image (of one unit, if given), else zero."""

    def direction(activation: Tensor) -> Tensor:
        place = (torch.arange(len(activation), device=activation.device), slice(None) if unit is None else unit, y, x)
        tangent = torch.zeros_like(activation)
        tangent[place] = activation[place]
        return tangent

    return direction


def output_tangent(
    module: nn.Module, images: Tensor, layer: Layer, direction: Direction, read: Callable[[Any], Tensor]
) -> Tensor:
    """Return the derivative of `read(output)` as the layer's activation moves along `direction`."""
    with _tangent_level(module, layer, direction):
        # A copy: a model that changes its input in place could not change one image that stands for several.
        return _tangent(read(module(images.clone())), layer, "the class scores")


def layer_tangent(module: nn.Module, images: Tensor, layer: Layer, direction: Direction, later: Layer) -> Tensor:
    """Return the derivative of a later activation, `b c h w`, as the layer's moves along `direction`."""
    tangents: list[Tensor] = []

    def visit(_: str, activation: Tensor) -> None:
        tangents.append(_tangent(activation, layer, f"layer {later.name}"))

    with _tangent_level(module, layer, direction):
        run_to(module, images.clone(), {later.name: later}, visit)
    return tangents[0]


@contextmanager
def replacing(module: nn.Module, layer: Layer, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within this block, pass `change(raw output)` on in place of the layer's raw output."""
    modules = dict(module.named_modules())
    base, call = split_call(layer.name, modules)
    child = modules.get(base)
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
        return None if raw is None else _replace_first_tensor(output, change(raw))

    with ExitStack() as stack:
        stack.callback(module.register_forward_pre_hook(begin).remove)
        stack.callback(child.register_forward_hook(hook).remove)
        yield


@contextmanager
def _tangent_level(module: nn.Module, layer: Layer, direction: Direction) -> Iterator[None]:
    """Open one level of forward mode in which the layer's activation moves along `direction`.

    Gradients are off by `no_grad`, not by inference mode, under which tangents silently vanish, as in fused attention.
    """

    def change(raw: Tensor) -> Tensor:
        tangent = torch.zeros_like(raw)
        view(tangent, layer).copy_(direction(view(raw, layer)))
        dual: Tensor = forward_ad.make_dual(raw, tangent)  # type: ignore[no-untyped-call]
        return dual

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        for context in (torch.no_grad(), slow_attention(), sdpa_kernel(SDPBackend.MATH), forward_ad.dual_level()):
            stack.enter_context(context)
        stack.enter_context(replacing(module, layer, change))
        if holds_scale(layer):
            stack.enter_context(HeldScale())
        try:
            yield
        except NotImplementedError as error:
            raise NoTangentError(
                f"an operation after layer {layer.name} has no forward mode in torch: {str(error).splitlines()[0]}"
            ) from None


def holds_scale(layer: Layer) -> bool:
    """Tell whether the norms after a layer keep their scale: for tokens of one kind, which are read through them alone."""
    return layer.axes.startswith("btc[")


class HeldScale(TorchFunctionMode):
    """Keeps the scale of layer norms and RMS norms as it is while a layer moves (Ali et al. 2022, arXiv 2202.07304).

    The normalised stream then moves with the layer. Were the scale to follow, moving a whole vector along itself would
    change nothing after the norm, and its attribution would be zero by definition.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        norm = _NORMS.get(func)
        return func(*args, **(kwargs or {})) if norm is None else norm(*args, **(kwargs or {}))


def _held_layer_norm(
    x: Tensor, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any, **__: Any
) -> Tensor:
    dims = tuple(range(-len(shape), 0))
    still = _primal(x)
    scale = (still.var(dims, unbiased=False, keepdim=True) + eps).rsqrt()
    return _affine((x - x.mean(dims, keepdim=True)) * scale, weight, bias)


def _held_rms_norm(x: Tensor, shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Tensor:
    still = _primal(x)
    least = torch.finfo(x.dtype).eps if eps is None else eps
    scale = (still.square().mean(tuple(range(-len(shape), 0)), keepdim=True) + least).rsqrt()
    return _affine(x * scale, weight, None)


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    scaled = x if weight is None else x * weight
    return scaled if bias is None else scaled + bias


def _primal(x: Tensor) -> Tensor:
    primal: Tensor = forward_ad.unpack_dual(x).primal  # type: ignore[no-untyped-call]
    return primal


_NORMS: Mapping[Callable[..., Tensor], Callable[..., Tensor]] = {
    torch.layer_norm: _held_layer_norm,
    F.layer_norm: _held_layer_norm,
    torch.rms_norm: _held_rms_norm,
    F.rms_norm: _held_rms_norm,
}


def _tangent(output: Tensor, layer: Layer, what: str) -> Tensor:
    tangent: Tensor | None = forward_ad.unpack_dual(output).tangent  # type: ignore[no-untyped-call]
    if tangent is None:
        raise NoTangentError(
            f"layer {layer.name} does not reach {what}: they branch apart, or the layer's output is dropped or detached"
        )
    return tangent


def _replace_first_tensor(output: Any, new: Tensor) -> Any:
    """Return a layer's output with its first tensor, as `first_tensor` finds it, replaced."""
    if isinstance(output, Tensor):
        return new
    fields = isinstance(output, Mapping) or dataclasses.is_dataclass(output)
    items = list((output if isinstance(output, Mapping) else vars(output)).items() if fields else enumerate(output))
    key, inner = next((key, item) for key, item in items if first_tensor(item) is not None)
    replaced = _replace_first_tensor(inner, new)
    if not fields:
        values = [replaced if number == key else item for number, item in items]
        return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)
    changed = copy.copy(output)
    if isinstance(changed, Mapping):
        changed[key] = replaced  # type: ignore[index]
    else:
        object.__setattr__(changed, key, replaced)
    return changed
