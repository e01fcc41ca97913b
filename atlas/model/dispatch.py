"""Trace every operator that a model executes, and the tensors it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Calls `operation(name, args, kwargs, run)` for every operator; it executes `run()` and returns the result."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True, the default, imports the compiler (over a second) only to disable it.
        return False

    def operation(self, name: str, args: Any, kwargs: dict[str, Any], run: Any) -> Any:
        raise NotImplementedError

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return self.operation(str(func), args, kwargs, lambda: func(*args, **kwargs))


def tensors(value: Any, above: tuple[int, ...] = ()) -> list[Tensor]:
    """Return the tensors in a module's or an operator's arguments or results, in order; `above` are what they lie in."""
    if isinstance(value, Tensor):
        return [value]
    if not isinstance(value, dict | list | tuple) or id(value) in above:
        return []
    items = value.values() if isinstance(value, dict) else value
    return [tensor for item in items for tensor in tensors(item, (*above, id(value)))]


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor in a layer's output: itself, or the first found in a tuple, list, dict or dataclass."""
    if isinstance(output, Tensor):
        return output
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        output = vars(output)
    if isinstance(output, Mapping):
        output = output.values()
    elif not isinstance(output, tuple | list):
        return None
    return next((tensor for item in output if (tensor := first_tensor(item)) is not None), None)


def is_plain(tensor: Tensor | None) -> bool:
    """Tell whether a tensor holds real numbers that torch can compute with: none that are sparse, nested, of eight bits."""
    if tensor is None or tensor.is_nested or tensor.layout is not torch.strided:
        return False
    return tensor.is_floating_point() and tensor.dtype.itemsize > 1


@contextmanager
def slow_attention() -> Iterator[None]:
    """Disable torch's fused transformer path, which skips submodules and is taken only where gradients are off."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
