"""Fuse a model's operators for drawing on a CPU: the same numbers in fewer passes over memory, a seventh faster.

The model is traced up to the layers once per shape of pictures. In the trace, a border of zeros becomes the padding of
the convolution that takes it, and a rectifier is fused into its convolution (oneDNN).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from atlas.inversion.objectives import Activations

TOLERANCE = 1e-4
"""Largest difference between trace and model, relative to the largest value; most models show none."""

_aten, _onednn = torch.ops.aten, torch.ops.mkldnn
_RECTIFIERS: dict[Any, Callable[[fx.Node], tuple[Any, ...]]] = {
    _aten.relu.default: lambda node: (0.0, None),
    _aten.hardtanh.default: lambda node: (*node.args[1:], -1.0, 1.0)[:2],
}
"""By operator, how to read its lowest and largest value (None: no limit)."""


class Fused:
    """A `Forward` that traces another when gradients are needed, once per shape of pictures."""

    def __init__(self, forward: Any) -> None:
        self.forward = forward
        self._traced: dict[tuple[int, ...], Any] = {}

    def __call__(self, pictures: Tensor) -> Activations:
        if not torch.is_grad_enabled() or not _can_fuse(pictures):
            return self.forward(pictures)  # type: ignore[no-any-return]
        shape = tuple(pictures.shape)
        if shape not in self._traced:
            self._traced[shape] = _trace(self.forward, pictures.detach())
        return self._traced[shape](pictures)  # type: ignore[no-any-return]


def _can_fuse(pictures: Tensor) -> bool:
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return onednn and pictures.device.type == "cpu" and pictures.dtype == torch.float32


def _trace(forward: Any, pictures: Tensor) -> Any:
    """Return the fused trace of `forward`, or `forward` itself if there is nothing to fuse or it can't be traced."""
    try:
        with torch.no_grad():
            traced: fx.GraphModule = make_fx(forward)(pictures)
    except Exception:  # control flow on values, or an untraceable operator: run the model unfused
        return forward
    changes = _merge_borders(traced.graph) + _merge_rectifiers(traced.graph)
    if not changes:
        return forward
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced if _outputs_match(forward, traced, pictures) else forward


def _merge_borders(graph: fx.Graph) -> int:
    """Merge each symmetric border of zeros into the convolution that alone uses it; return their number."""
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
    """Merge each rectifier into the convolution whose output it alone uses; return their number."""
    count = 0
    for conv in graph.find_nodes(op="call_function", target=_aten.convolution.default):
        rectifier = _only_user(conv)
        picture, weight, bias, stride, padding, dilation, transposed, _, groups = _arguments(conv)
        if rectifier is None or rectifier.target not in _RECTIFIERS or transposed or len(stride) != 2:
            continue
        low, high = _RECTIFIERS[rectifier.target](rectifier)
        with graph.inserting_before(rectifier):
            settings = (tuple(stride), tuple(padding), tuple(dilation), groups)
            merged = graph.call_function(convolve_rectified, (picture, weight, bias, settings, low, high))
        rectifier.replace_all_uses_with(merged)
        count += 1
    return count


def _arguments(node: fx.Node) -> list[Any]:
    return list(node.args)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def convolve_rectified(
    picture: Tensor, weight: Tensor, bias: Tensor | None, settings: Any, low: float, high: float | None
) -> Tensor:
    """Convolve `b c h w` and clamp to low..high; `settings` are stride, padding, dilation and groups."""
    output: Tensor = _Rectified.apply(picture, weight, bias, settings, low, high)
    return output


class _Rectified(torch.autograd.Function):
    """Computes the gradient of the picture only: drawing does not change the weights."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor, weight: Tensor, bias: Any, settings: Any, low: float, high: Any) -> Tensor:
        stride, padding, dilation, groups = settings
        rule = ("relu", []) if high is None else ("hardtanh", [low, high])
        out: Tensor = _onednn._convolution_pointwise(
            picture, weight, bias, padding, stride, dilation, groups, *rule, ""
        )
        ctx.save_for_backward(picture, weight, out)
        ctx.settings, ctx.low, ctx.high = settings, low, high
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        picture, weight, out = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.settings
        if ctx.high is None:
            passed = _aten.threshold_backward(gradients[0], out, ctx.low)
        else:
            passed = _aten.hardtanh_backward(gradients[0], out, ctx.low, ctx.high)
        only = [True, False, False]
        back = _aten.convolution_backward(
            passed, picture, weight, None, stride, padding, dilation, False, [0, 0], groups, only
        )
        return back[0], None, None, None, None, None


def _outputs_match(forward: Any, traced: Any, pictures: Tensor) -> bool:
    """Check that both return the same for the pictures and for random ones, gradients included."""
    others = torch.rand(pictures.shape, generator=torch.Generator().manual_seed(0))
    return all(
        _close(expected, actual)
        for shown in (pictures, others)
        for expected, actual in zip(_with_gradient(forward, shown), _with_gradient(traced, shown), strict=True)
    )


def _with_gradient(forward: Any, pictures: Tensor) -> list[Tensor]:
    with torch.enable_grad():
        leaf = pictures.detach().clone().requires_grad_()
        activations = forward(leaf)
        total = torch.stack([maps.square().sum() for maps in activations.values()]).sum()
        (gradient,) = torch.autograd.grad(total, [leaf])
    return [*(maps.detach() for maps in activations.values()), gradient]


def _close(expected: Tensor, actual: Tensor) -> bool:
    return expected.shape == actual.shape and bool((expected - actual).abs().max() <= TOLERANCE * expected.abs().max())
