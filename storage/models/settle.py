"""Settle a user's module: on the CPU, in float32 and evaluation mode, without gradients and without a compiler."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from storage.errors import ModelError, first_line


class Uncompiled(nn.Module):
    """Runs a compiled module as it was written, under the names that compiling gave its parts."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._orig_mod = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._orig_mod(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("_orig_mod"), name)


def settle(spec: str, module: nn.Module) -> nn.Module:
    """Return the module ready to be analysed. Raises ModelError where it cannot be."""
    try:
        return _settled(spec, module)
    except ModelError:
        raise
    except Exception as error:  # what a user's class overrides may do anything
        raise ModelError(
            f"model {spec}: its {type(module).__name__} can't be put in evaluation mode in float32 on the CPU "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error


def _settled(spec: str, module: nn.Module) -> nn.Module:
    module = _uncompile(module)
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise ModelError(
                f"model {spec}: {f'its module {name}' if name else 'it'} is TorchScript, whose parts can't be observed; "
                "let the factory return the Python module"
            )
    lazy = [name for name, parameter in module.named_parameters() if is_lazy(parameter)]
    if lazy:
        raise ModelError(
            f"model {spec}: its parameter {lazy[0]} is not initialised (a lazy module); run it once in the factory"
        )
    empty = [name for name, tensor in [*module.named_parameters(), *module.named_buffers()] if tensor.is_meta]
    if empty:
        raise ModelError(
            f"model {spec}: {len(empty)} of its tensors have no values (device meta), first {empty[0]}; "
            "let the factory load them"
        )
    module = module.cpu().float()
    _evaluate(module)
    for parameter in module.parameters():
        with suppress(RuntimeError):  # integer parameters have no gradients to turn off
            parameter.requires_grad_(False)
    return module


def _evaluate(module: nn.Module) -> None:
    """Turn evaluation mode on in every part, also in those whose own `train` or `eval` does something else."""
    with suppress(NotImplementedError):  # an exported program has the mode that it was exported in
        module.eval()
    for part in module.modules():
        if part.training:
            with suppress(RuntimeError, AttributeError):
                part.training = False


def _uncompile(module: nn.Module) -> nn.Module:
    """Replace compiled parts, whose layers no hook sees once they have run, by those they were compiled from."""
    for parent in list(module.modules()):
        parent._compiled_call_impl = None
        for name, child in list(parent.named_children()):
            if (plain := _plain(child)) is not child:
                setattr(parent, name, plain)
    return _plain(module)


def _plain(module: nn.Module) -> nn.Module:
    original = getattr(module, "_orig_mod", None) if type(module).__name__ == "OptimizedModule" else None
    return Uncompiled(original) if isinstance(original, nn.Module) else module


@contextmanager
def own_defaults() -> Iterator[None]:
    """Restore after a factory what it may set for all of Python: the working folder, and torch's defaults."""
    folder, dtype, device = os.getcwd(), torch.get_default_dtype(), torch.get_default_device()
    gradients, strict = torch.is_grad_enabled(), torch.get_deterministic_debug_mode()
    try:
        yield
    finally:
        os.chdir(folder)
        torch.set_default_dtype(dtype)
        # A default device, even the processor, costs time at every call; without one it is the processor.
        torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_grad_enabled(gradients)
        torch.set_deterministic_debug_mode(strict)
