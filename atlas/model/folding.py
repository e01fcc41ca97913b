"""Fold batch norm into the preceding convolution (or linear layer) without changing any layer's output.

The folded convolution itself no longer returns its original output. So the unfolded one is stored as well, and runs on
the same input when that layer is requested; no other layer depends on what is requested.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from atlas.model.dispatch import Operations, slow_attention, tensors

_FOLDABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
TOLERANCE = 1e-3
"""Largest difference on the example that a fold may cause, relative to the largest output; about 1e-6 is usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A folded copy of a module, with the unfolded convolutions by name; `atlas.model.activations` records it like a module.

    `pairs` maps each convolution to the batch norm folded into it.
    """

    module: nn.Module
    unfolded: Mapping[str, nn.Module]
    pairs: Mapping[str, str]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Folded:
        """Move to a device and precision, channels last in memory: in place, like a module's `to`; returns itself."""
        for part in (self.module, *self.unfolded.values()):
            part.to(device=device, dtype=dtype)
            for parameter in part.parameters():
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return self


def fold(module: nn.Module, example: Tensor) -> Folded:
    """Return a copy of the module with every batch norm folded that can be, judging by a run on `example` `c h w`.

    A pair is folded if both are called once, the batch norm takes the very tensor that the convolution returned, nothing
    else uses or returns it, and the folded convolution reproduces the pair's output on the example. If the output of
    the whole model changes (a batch norm is called in a way the module tree does not show), nothing is folded. The
    module itself is left unchanged.
    """
    pairs = _pairs(module, example)
    folded = copy.deepcopy(module).requires_grad_(False)
    unfolded: dict[str, nn.Module] = {}
    for conv_name, norm_name in pairs.items():
        conv, norm = folded.get_submodule(conv_name), folded.get_submodule(norm_name)
        unfolded[conv_name] = copy.deepcopy(conv)
        _fold_into(conv, norm)
        _replace(folded, norm, nn.Identity())
    if not _same_output(module, folded, example):
        return Folded(module=copy.deepcopy(module).requires_grad_(False), unfolded={}, pairs={})
    return Folded(module=folded, unfolded=unfolded, pairs=pairs)


def _pairs(module: nn.Module, example: Tensor) -> dict[str, str]:
    """Return convolution → batch norm for every pair that can be folded."""
    tracker = _ConvTracker()
    with ExitStack() as stack, torch.no_grad():
        stack.enter_context(slow_attention())
        for name, child in module.named_modules():
            stack.callback(child.register_forward_pre_hook(tracker.before(name)).remove)
            stack.callback(child.register_forward_hook(tracker.after(name)).remove)
        with tracker:
            module(example[None].clone())
    owners = Counter(id(parameter) for child in module.modules() for parameter in child._parameters.values())
    return {
        name: conv.norm
        for name, conv in tracker.convolutions.items()
        if conv.norm is not None
        and conv.agrees
        and (conv.uses, conv.returns) == (1, 0)
        and tracker.calls[name] == tracker.calls[conv.norm] == 1
        and owners[id(conv.module.weight)] == 1
    }


@dataclass(slots=True)
class _ConvOutput:
    """The uses of a convolution's output: operators that took it, modules that returned it, its batch norm."""

    module: nn.Module
    args: tuple[Any, ...]
    output: Tensor
    uses: int = 0
    returns: int = 0
    norm: str | None = None
    agrees: bool = False


class _ConvTracker(Operations):  # type: ignore[no-untyped-call]
    """Follows the outputs of convolutions, which it keeps alive so that their storage identifies them."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions: dict[str, _ConvOutput] = {}
        self.calls: Counter[str] = Counter()

    def operation(self, name: str, args: Any, kwargs: dict[str, Any], run: Callable[[], Any]) -> Any:
        places = {_storage(tensor) for tensor in tensors((args, kwargs))}
        for conv in self.convolutions.values():
            conv.uses += _storage(conv.output) in places
        return run()

    def before(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            convolutions = self.convolutions.values()
            source = next((conv for conv in convolutions if len(args) == 1 and conv.output is args[0]), None)
            if source is not None and source.norm is None and _is_norm(module):
                source.norm = name

        return hook

    def after(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            self.calls[name] += 1
            places = {_storage(tensor) for tensor in tensors(output)}
            for conv in self.convolutions.values():
                conv.returns += _storage(conv.output) in places
                if conv.norm == name and self.calls[name] == 1:
                    conv.agrees = _reproduces(conv, module, output)
            if name not in self.convolutions and isinstance(output, Tensor) and _is_foldable(module):
                self.convolutions[name] = _ConvOutput(module=module, args=args, output=output)

        return hook


def _is_foldable(module: nn.Module) -> bool:
    """Check that a module is a convolution or linear layer whose weight is a parameter, not computed (weight norm)."""
    own = module._parameters.get("weight") is not None and not hasattr(module, "parametrizations")
    return isinstance(module, _FOLDABLE) and own


def _is_norm(module: nn.Module) -> bool:
    """Check that a module is a plain batch norm with running statistics, not a subclass that does more."""
    return isinstance(module, _BatchNorm) and type(module).forward is _BatchNorm.forward and _has_statistics(module)


def _has_statistics(norm: _BatchNorm) -> bool:
    return not norm.training and norm.running_mean is not None and norm.running_var is not None


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0  # a sparse one has several


def _reproduces(conv: _ConvOutput, norm: Any, output: Tensor) -> bool:
    """Fold the pair and check that it gives the batch norm's output on the same input."""
    trial: Any = copy.copy(conv.module)
    if len(trial.weight) != norm.num_features:
        return False
    trial._parameters = dict(conv.module._parameters)
    _fold_into(trial, norm)
    return _close(trial.forward(*conv.args), output)  # not called: the copy still has the tracker's hooks


def _fold_into(conv: Any, norm: Any) -> None:
    """Absorb the batch norm into the convolution's weight and bias, computed in float64."""
    weight, bias = conv.weight, conv.bias
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = (0.0 if bias is None else bias.double()) - norm.running_mean.double()
    folded = shift * scale + (0.0 if norm.bias is None else norm.bias.double())
    scaled = weight.double() * scale.view(-1, *[1] * (weight.ndim - 1))
    for name, value in (("weight", scaled), ("bias", folded)):
        conv._parameters[name] = nn.Parameter(value.detach().to(weight.dtype), requires_grad=False)


def _replace(module: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replace `old` by `new` under every name."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if child is old:
                parent._modules[name] = new


def _same_output(module: nn.Module, folded: nn.Module, example: Tensor) -> bool:
    """Compare the outputs that can be: numbers, as many of both. A detector may find more or less after rounding."""
    with torch.no_grad():
        pairs = zip(*(tensors(net(example[None].clone())) for net in (module, folded)), strict=False)
        return all(
            _close(ours, theirs) for ours, theirs in pairs if ours.is_floating_point() and ours.shape == theirs.shape
        )


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    if not a.numel():
        return True
    return bool((a - b).abs().max() <= TOLERANCE * b.abs().max())
