"""Classify autograd's operators for guided backpropagation and deconvnet: rectifier, product, plain or unsupported."""

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
"""Operators that both methods send the ordinary gradient through."""

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
"""Which inputs of an operator are factors; for a quotient, the divisor."""


def is_product(node: Any, on_path: Callable[[Any], bool]) -> bool:
    """Check whether an operator multiplies two values that both depend on the picture, or divides by one that does.

    If one factor is a weight, the operator is linear in the picture, like a sum.
    """
    factors = [one for one, _ in node.next_functions[_FACTORS.get(operator_name(node), slice(0))]]
    return bool(factors) and all(one is not None and on_path(one) for one in factors)


def operator_name(node: Any) -> str:
    """Return an operator's name without autograd's suffix: `Relu` for `ReluBackward0`."""
    name: str = node.name().rpartition("::")[2]
    return re.sub(r"Backward\d*$", "", name)


def display_name(node: Any) -> str:
    """Return an operator's common name, or autograd's if it has none."""
    return _NAMES.get(operator_name(node), operator_name(node))


def is_rectifier(node: Any) -> bool:
    """Check whether an operator is max(x, 0), with or without an upper limit (ReLU6)."""
    name = operator_name(node)
    if name == "Hardtanh":
        return bool(node._saved_min_val == 0)
    if name == "Threshold":
        return bool(node._saved_threshold == 0)
    if name in ("Clamp", "ClampMin"):
        lowest = getattr(node, "_saved_min", None)
        return lowest is not None and not isinstance(lowest, Tensor) and bool(lowest == 0)
    return name == "Relu"
