"""Fuse the operators of a traced graph on a CPU: the same numbers in fewer passes over memory.

A border of zeros becomes the padding of the convolution that takes it, and a rectifier is fused into its convolution
(oneDNN). What a traced graph computes must be compared with the model: see `atlas.model.traced`, and for
pictures with gradients `atlas.inversion.fused`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

_aten, _onednn = torch.ops.aten, torch.ops.mkldnn

Limits = Callable[[fx.Node], tuple[Any, ...]]
"""Reads a rectifier's lowest and largest value (None: no limit)."""

RECTIFIERS: Mapping[Any, Limits] = {
    _aten.relu.default: lambda node: (0.0, None),
    _aten.hardtanh.default: lambda node: (*node.args[1:], -1.0, 1.0)[:2],
}
IN_PLACE: Mapping[Any, Limits] = {
    _aten.relu_.default: RECTIFIERS[_aten.relu.default],
    _aten.hardtanh_.default: RECTIFIERS[_aten.hardtanh.default],
}
"""The same in place: what uses the convolution afterwards uses the rectifier in a graph."""


def can_fuse(pictures: Tensor) -> bool:
    """Tell whether there is anything to gain: oneDNN computes in float32 on this device."""
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return onednn and pictures.device.type == "cpu" and pictures.dtype == torch.float32


def merge_borders(graph: fx.Graph) -> int:
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
        if even and not any(value) and not rest[6] and len(rest[4]) == 2:
            rest[0], rest[4] = picture, [rest[4][0] + sides[2], rest[4][1] + sides[0]]
            conv.args = tuple(rest)
            graph.erase_node(border)
            count += 1
    return count


def merge_rectifiers(graph: fx.Graph, convolve: Callable[..., Tensor], rectifiers: Mapping[Any, Limits]) -> int:
    """Merge each rectifier into the convolution whose output it alone uses, as a call of `convolve`; return their number."""
    count = 0
    for conv in graph.find_nodes(op="call_function", target=_aten.convolution.default):
        rectifier = _only_user(conv)
        picture, weight, bias, stride, padding, dilation, transposed, _, groups = _arguments(conv)
        if rectifier is None or rectifier.target not in rectifiers or transposed or len(stride) != 2:
            continue
        low, high = rectifiers[rectifier.target](rectifier)
        with graph.inserting_before(rectifier):
            settings = (tuple(stride), tuple(padding), tuple(dilation), groups)
            merged = graph.call_function(convolve, (picture, weight, bias, settings, low, high))
        rectifier.replace_all_uses_with(merged)
        graph.erase_node(rectifier)
        graph.erase_node(conv)
        count += 1
    return count


def convolve_clamped(
    picture: Tensor, weight: Tensor, bias: Tensor | None, settings: Any, low: float, high: float | None
) -> Tensor:
    """Convolve `b c h w` and clamp to low..high; `settings` are stride, padding, dilation and groups.

    A value that is not a number becomes `low`, which a rectifier of its own would have kept.
    """
    stride, padding, dilation, groups = settings
    rule = ("relu", []) if high is None else ("hardtanh", [low, high])
    output: Tensor = _onednn._convolution_pointwise(picture, weight, bias, padding, stride, dilation, groups, *rule, "")
    return output


def _arguments(node: fx.Node) -> list[Any]:
    return list(node.args)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None
