"""See a model's layers in fewer passes over memory, for drawing on a CPU: the same numbers, a seventh sooner.

What a model does up to the layers is traced once for a shape of pictures. In the trace, a border of zeros becomes the
padding of the convolution that takes it, and a rectifier is done where its convolution writes (oneDNN).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from atlas.inversion.objectives import Seen

TOLERANCE = 1e-4
"""Largest difference, as a part of the largest value, between what the trace and the model give; most give none."""

_aten, _onednn = torch.ops.aten, torch.ops.mkldnn
_RECTIFIERS: dict[Any, Callable[[fx.Node], tuple[Any, ...]]] = {
    _aten.relu.default: lambda node: (0.0, None),
    _aten.hardtanh.default: lambda node: (*node.args[1:], -1.0, 1.0)[:2],
}
"""By operation, how the lowest and the largest value (none: no limit) are read off it."""


class Fused:
    """A `See` that traces another where gradients are wanted, once per shape of the pictures."""

    def __init__(self, see: Any) -> None:
        self.see = see
        self._traced: dict[tuple[int, ...], Any] = {}

    def __call__(self, pictures: Tensor) -> Seen:
        if not torch.is_grad_enabled() or not _can_fuse(pictures):
            return self.see(pictures)  # type: ignore[no-any-return]
        shape = tuple(pictures.shape)
        if shape not in self._traced:
            self._traced[shape] = _trace(self.see, pictures.detach())
        return self._traced[shape](pictures)  # type: ignore[no-any-return]


def _can_fuse(pictures: Tensor) -> bool:
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return onednn and pictures.device.type == "cpu" and pictures.dtype == torch.float32


def _trace(see: Any, pictures: Tensor) -> Any:
    """Return the fused trace of `see`, or `see` itself where there is nothing to fuse, or it cannot be traced."""
    try:
        with torch.no_grad():
            traced: fx.GraphModule = make_fx(see)(pictures)
    except Exception:  # a model that looks at values, or an operation that has no trace: all is well without
        return see
    changes = _merge_borders(traced.graph) + _merge_rectifiers(traced.graph)
    if not changes:
        return see
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced if _agree(see, traced, pictures) else see


def _merge_borders(graph: fx.Graph) -> int:
    """Give an even border of zeros to the convolution that alone takes it; return how many there were."""
    count = 0
    border: fx.Node
    for border in graph.find_nodes(op="call_function", target=_aten.constant_pad_nd.default):
        conv = _only_user(border)
        if conv is None or conv.target is not _aten.convolution.default or _arguments(conv)[0] is not border:
            continue
        picture, sides, *value = _arguments(border)
        rest = _arguments(conv)
        even = len(sides) == 4 and sides[0] == sides[1] >= 0 and sides[2] == sides[3] >= 0
        if even and not any(value) and not rest[6]:
            rest[0], rest[4] = picture, [rest[4][0] + sides[2], rest[4][1] + sides[0]]
            conv.args = tuple(rest)
            count += 1
    return count


def _merge_rectifiers(graph: fx.Graph) -> int:
    """Let a convolution do the rectifier that alone takes its output; return how many there were."""
    count = 0
    for conv in graph.find_nodes(op="call_function", target=_aten.convolution.default):
        rectifier = _only_user(conv)
        picture, weight, bias, stride, padding, dilation, transposed, _, groups = _arguments(conv)
        if rectifier is None or rectifier.target not in _RECTIFIERS or transposed or len(stride) != 2:
            continue
        low, high = _RECTIFIERS[rectifier.target](rectifier)
        with graph.inserting_before(rectifier):
            how = (tuple(stride), tuple(padding), tuple(dilation), groups)
            one = graph.call_function(rectified, (picture, weight, bias, how, low, high))
        rectifier.replace_all_uses_with(one)
        count += 1
    return count


def _arguments(node: fx.Node) -> list[Any]:
    return list(node.args)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def rectified(picture: Tensor, weight: Tensor, bias: Tensor | None, how: Any, low: float, high: float | None) -> Tensor:
    """Convolve `b c h w` and cut to low..high; `how` is stride, padding, dilation and groups."""
    done: Tensor = _Rectified.apply(picture, weight, bias, how, low, high)
    return done


class _Rectified(torch.autograd.Function):
    """Gives the gradient of the picture alone: drawing leaves the weights as they are."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor, weight: Tensor, bias: Any, how: Any, low: float, high: Any) -> Tensor:
        stride, padding, dilation, groups = how
        rule = ("relu", []) if high is None else ("hardtanh", [low, high])
        out: Tensor = _onednn._convolution_pointwise(
            picture, weight, bias, padding, stride, dilation, groups, *rule, ""
        )
        ctx.save_for_backward(picture, weight, out)
        ctx.how, ctx.low, ctx.high = how, low, high
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        picture, weight, out = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.how
        if ctx.high is None:
            passed = _aten.threshold_backward(gradients[0], out, ctx.low)
        else:
            passed = _aten.hardtanh_backward(gradients[0], out, ctx.low, ctx.high)
        only = [True, False, False]
        back = _aten.convolution_backward(
            passed, picture, weight, None, stride, padding, dilation, False, [0, 0], groups, only
        )
        return back[0], None, None, None, None, None


def _agree(see: Any, traced: Any, pictures: Tensor) -> bool:
    """Tell whether both give the same of the pictures and of others, and the same gradients."""
    others = torch.rand(pictures.shape, generator=torch.Generator().manual_seed(0))
    return all(
        _close(here, there)
        for shown in (pictures, others)
        for here, there in zip(_with_gradient(see, shown), _with_gradient(traced, shown), strict=True)
    )


def _with_gradient(see: Any, pictures: Tensor) -> list[Tensor]:
    with torch.enable_grad():
        leaf = pictures.detach().clone().requires_grad_()
        seen = see(leaf)
        total = torch.stack([maps.square().sum() for maps in seen.values()]).sum()
        (gradient,) = torch.autograd.grad(total, [leaf])
    return [*(maps.detach() for maps in seen.values()), gradient]


def _close(here: Tensor, there: Tensor) -> bool:
    return here.shape == there.shape and bool((here - there).abs().max() <= TOLERANCE * here.abs().max())
