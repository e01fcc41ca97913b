"""Fold batch norm into the convolution (or linear layer) before it; what any layer gives stays what it was.

The folded convolution's own output is no longer what somebody who names it asks for. So the unfolded one is kept
beside, and runs on the same input when it is named: nothing else changes by what is named.
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
"""Largest difference, as a part of the largest output, that a fold may show on the example; about 1e-6 is usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A folded copy of a module, with the unfolded convolutions by name; `atlas.model.activations` records it like a module.

    `pairs` says which batch norm went into which convolution.
    """

    module: nn.Module
    beside: Mapping[str, nn.Module]
    pairs: Mapping[str, str]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Folded:
        """Return it on a device, in a precision, channels last in memory. Like a module's `to`, this moves it itself."""
        for part in (self.module, *self.beside.values()):
            part.to(device=device, dtype=dtype)
            for parameter in part.parameters():
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return self


def fold(module: nn.Module, example: Tensor) -> Folded:
    """Return the module with every batch norm folded that can be, as a run on the `example` `c h w` shows.

    A pair is folded where both are called once, the batch norm takes the very tensor that the convolution gave, nothing
    else uses or returns it, and the folded convolution gives on the example what the two give. Where the whole does
    not (a batch norm is called by a way that the module tree does not show), nothing is folded. The module itself
    stays as it was.
    """
    pairs = _pairs(module, example)
    folded = copy.deepcopy(module).requires_grad_(False)
    beside: dict[str, nn.Module] = {}
    for conv_name, norm_name in pairs.items():
        conv, norm = folded.get_submodule(conv_name), folded.get_submodule(norm_name)
        beside[conv_name] = copy.deepcopy(conv)
        _fold_into(conv, norm)
        _replace(folded, norm, nn.Identity())
    if not _same(module, folded, example):
        return Folded(module=copy.deepcopy(module).requires_grad_(False), beside={}, pairs={})
    return Folded(module=folded, beside=beside, pairs=pairs)


def _pairs(module: nn.Module, example: Tensor) -> dict[str, str]:
    """Return convolution → batch norm for every pair that can be folded."""
    watch = _Watch()
    with ExitStack() as stack, torch.no_grad():
        stack.enter_context(slow_attention())
        for name, child in module.named_modules():
            stack.callback(child.register_forward_pre_hook(watch.before(name)).remove)
            stack.callback(child.register_forward_hook(watch.after(name)).remove)
        with watch:
            module(example[None].clone())
    owners = Counter(id(parameter) for child in module.modules() for parameter in child._parameters.values())
    return {
        conv: made.norm
        for conv, made in watch.made.items()
        if made.norm is not None
        and made.agrees
        and (made.uses, made.given) == (1, 0)
        and watch.calls[conv] == watch.calls[made.norm] == 1
        and owners[id(made.module.weight)] == 1
    }


@dataclass(slots=True)
class _Made:
    """What became of a convolution's output: operations that took it, modules that gave it on, its batch norm."""

    module: nn.Module
    args: tuple[Any, ...]
    output: Tensor
    uses: int = 0
    given: int = 0
    norm: str | None = None
    agrees: bool = False


class _Watch(Operations):  # type: ignore[no-untyped-call]
    """Follows the outputs of convolutions, which it keeps alive, so that their memory names them."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, _Made] = {}
        self.calls: Counter[str] = Counter()

    def operation(self, name: str, args: Any, kwargs: dict[str, Any], run: Callable[[], Any]) -> Any:
        places = {_place(tensor) for tensor in tensors((args, kwargs))}
        for made in self.made.values():
            made.uses += _place(made.output) in places
        return run()

    def before(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            taken = next((made for made in self.made.values() if len(args) == 1 and made.output is args[0]), None)
            if taken is not None and taken.norm is None and _is_norm(module):
                taken.norm = name

        return hook

    def after(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            self.calls[name] += 1
            places = {_place(tensor) for tensor in tensors(output)}
            for made in self.made.values():
                made.given += _place(made.output) in places
                if made.norm == name and self.calls[name] == 1:
                    made.agrees = _agrees(made, module, output)
            if name not in self.made and isinstance(output, Tensor) and _is_foldable(module):
                self.made[name] = _Made(module=module, args=args, output=output)

        return hook


def _is_foldable(module: nn.Module) -> bool:
    """Say whether it is a convolution whose weight is its own, not computed (weight norm)."""
    own = module._parameters.get("weight") is not None and not hasattr(module, "parametrizations")
    return isinstance(module, _FOLDABLE) and own


def _is_norm(module: nn.Module) -> bool:
    """Say whether it is a plain batch norm with statistics of its own, not a subclass that does more."""
    return isinstance(module, _BatchNorm) and type(module).forward is _BatchNorm.forward and _has_statistics(module)


def _has_statistics(norm: _BatchNorm) -> bool:
    return not norm.training and norm.running_mean is not None and norm.running_var is not None


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _agrees(made: _Made, norm: Any, output: Tensor) -> bool:
    """Fold the pair and see whether it gives the batch norm's output on the same input."""
    trial: Any = copy.copy(made.module)
    if len(trial.weight) != norm.num_features:
        return False
    trial._parameters = dict(made.module._parameters)
    _fold_into(trial, norm)
    return _close(trial.forward(*made.args), output)  # not called: the copy still has this watch's hooks


def _fold_into(conv: Any, norm: Any) -> None:
    """Give the convolution weights and bias that do the batch norm's work as well, computed in float64."""
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
    """Put `new` wherever `old` is, under whatever name."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if child is old:
                parent._modules[name] = new


def _same(module: nn.Module, folded: nn.Module, example: Tensor) -> bool:
    with torch.no_grad():
        pairs = zip(*(tensors(net(example[None].clone())) for net in (module, folded)), strict=True)
        return all(_close(ours, theirs) for ours, theirs in pairs)


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    return bool((a - b).abs().max() <= TOLERANCE * b.abs().max())
