"""See every operation that a model runs, below its modules and functions."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Calls `operation(name, args, kwargs, run)`, which runs it by `run()` and returns what that gave."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True (the default) imports the compiler, more than a second, only to keep out of its way.
        return False

    def operation(self, name: str, args: Any, kwargs: dict[str, Any], run: Any) -> Any:
        raise NotImplementedError

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return self.operation(str(func), args, kwargs, lambda: func(*args, **kwargs))


def tensors(value: Any) -> list[Tensor]:
    """Return the tensors in an operation's arguments or results, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return tensors(list(value.values()))
    return [tensor for item in value for tensor in tensors(item)] if isinstance(value, list | tuple) else []
