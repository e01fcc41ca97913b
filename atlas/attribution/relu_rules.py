"""What guided backpropagation and deconvnet make of each operation, by the name autograd records it under."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

_SUMS = """Add Sub Rsub Neg Mul Div Addmm Mm Mv Dot Bmm Baddbmm Addbmm Linear MkldnnLinear Convolution
ConvolutionOverrideable CudnnConvolution MkldnnConvolution Sum Mean"""
_NORMS_AND_POOLS = """NativeBatchNorm CudnnBatchNorm MiopenBatchNorm NativeLayerNorm NativeGroupNorm
MaxPool2DWithIndices AdaptiveMaxPool2D FractionalMaxPool2D AvgPool2D AdaptiveAvgPool2D Amax Max"""
_SHAPES = """AsStrided View UnsafeView ReshapeAlias Permute Transpose T Squeeze Unsqueeze Expand Cat Stack Split SplitWithSizes
Unbind Select Slice Index IndexSelect Clone Alias Copy ToCopy ConstantPadNd ReflectionPad2D ReplicationPad2D Roll Flip
Repeat PixelShuffle PixelUnshuffle UpsampleNearest2D UpsampleNearestExact2D UpsampleBilinear2D UpsampleBicubic2D"""

PLAIN = frozenset(f"{_SUMS} {_NORMS_AND_POOLS} {_SHAPES}".split())
"""Operations that both methods send the ordinary gradient through."""

_NAMES = {
    "Silu": "SiLU",
    "Gelu": "GELU",
    "Elu": "ELU",
    "Sigmoid": "a sigmoid",
    "Tanh": "tanh",
    "Hardswish": "hard swish",
    "Hardsigmoid": "a hard sigmoid",
    "LeakyRelu": "leaky ReLU",
    "PreluKernel": "PReLU",
    "Softmax": "a softmax",
    "Hardtanh": "a hardtanh that does not begin at 0",
    "Clamp": "a clamp that does not begin at 0",
    "ClampMin": "a clamp that does not begin at 0",
    "Threshold": "a threshold that is not 0",
    "CopySlices": "an in-place change of a part of a tensor",
}


_FACTORS = {name: slice(0, 2) for name in ("Mul", "Mm", "Mv", "Dot", "Bmm", "Convolution")} | {
    "Div": slice(1, 2),
    **{name: slice(1, 3) for name in ("Addmm", "Baddbmm", "Addbmm")},
}
"""Which inputs of an operation are factors; of a quotient what it is divided by."""


def multiplies(node: Any, on_path: Callable[[Any], bool]) -> bool:
    """Say whether an operation multiplies two things that both depend on the picture, or divides by one that does.

    A factor that is a weight makes it a sum like any other.
    """
    factors = [one for one, _ in node.next_functions[_FACTORS.get(name_of(node), slice(0))]]
    return bool(factors) and all(one is not None and on_path(one) for one in factors)


def name_of(node: Any) -> str:
    """Return an operation's name without what autograd adds: `Relu` of `ReluBackward0`."""
    name: str = node.name().rpartition("::")[2]
    return re.sub(r"Backward\d*$", "", name)


def spoken(node: Any) -> str:
    """Return what people call an operation; autograd's name where they have no better one."""
    return _NAMES.get(name_of(node), name_of(node))


def rectifies(node: Any) -> bool:
    """Say whether an operation is max(x, 0), or that with an upper limit as ReLU6 has."""
    name = name_of(node)
    if name == "Hardtanh":
        return bool(node._saved_min_val == 0)
    if name == "Threshold":
        return bool(node._saved_threshold == 0)
    if name in ("Clamp", "ClampMin"):
        lowest = getattr(node, "_saved_min", None)
        return lowest is not None and not isinstance(lowest, Tensor) and bool(lowest == 0)
    return name == "Relu"
