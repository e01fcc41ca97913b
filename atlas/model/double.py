"""Run a module in float64 on the CPU, whatever precision its code names, and notice where its values leave torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from atlas.model.dispatch import tensors

_RAISED = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
    torch.complex32: torch.complex128,
}

_LEAVING = frozenset({"numpy", "__array__", "tolist", "data_ptr", "__dlpack__", "__cuda_array_interface__"})
"""Methods by which code reads the numbers of a tensor where no operator shows it."""

_NAMESPACES = frozenset({"aten", "prim", "prims", "torchvision", "quantized"})
"""Operators whose work is known; the body of any other may do anything."""

_IN_PLACE = re.compile(r"\w*[^_]_|__setitem__|__i\w+__")


class Reads:
    """Whether values were read outside torch so far: what follows may depend on them in ways that no operator shows."""

    def __init__(self) -> None:
        self.outside = False


@contextmanager
def double() -> Iterator[Reads]:
    """Compute every operator in float64 while the context is open.

    No tensor of the module changes: operators get raised copies of their inputs. Tensors that an operator writes to, or
    returns a view of, stay as they are.
    """
    reads = Reads()
    with torch.no_grad(), _Raising(reads), _Watching(reads):
        yield reads


class _Raising(TorchDispatchMode):
    """Raises inputs, results and requested types of lower precision."""

    def __init__(self, reads: Reads) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reads = reads

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True, the default, imports the compiler (over a second) only to disable it.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.reads.outside |= func.namespace not in _NAMESPACES
        schema = func._schema
        aliased = {argument.name for argument in schema.arguments if argument.alias_info is not None}
        names = [argument.name for argument in schema.arguments]
        raised = [arg if name in aliased else _raise(arg) for name, arg in zip(names, args, strict=False)]
        named = {name: arg if name in aliased else _raise(arg) for name, arg in (kwargs or {}).items()}
        result = func(*raised, **named)
        return result if any(value.alias_info is not None for value in schema.returns) else _raise(result)


class _Watching(TorchFunctionMode):
    """Notices numbers that are read as numpy arrays or lists, and raises arguments that are compared before an operator."""

    def __init__(self, reads: Reads) -> None:
        super().__init__()
        self.reads = reads

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        self.reads.outside |= name in _LEAVING
        if _mixed([*args, *(kwargs or {}).values()]):
            written = 1 if _IN_PLACE.fullmatch(name) else 0
            args = (*args[:written], *_raise(tuple(args[written:])))
            kwargs = {key: value if key == "out" else _raise(value) for key, value in (kwargs or {}).items()}
        return func(*args, **(kwargs or {}))


def _mixed(values: list[Any]) -> bool:
    """Whether a function gets both inputs in float64 and parameters as they are stored."""
    types = {tensor.dtype for tensor in tensors(values)}
    return torch.float64 in types and not types.isdisjoint(_RAISED)


def _raise(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(_RAISED[value.dtype]) if value.dtype in _RAISED else value
    if isinstance(value, torch.dtype):
        return _RAISED.get(value, value)
    if isinstance(value, list | tuple):
        items = [_raise(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value
