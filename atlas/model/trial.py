"""Run a model on trial inputs, and name the module that was running where it fails."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from atlas.model.dispatch import first_tensor, slow_attention


class ForwardError(ValueError):
    """The model fails on an input: the module that was running, its input, and the cause, in one line."""


@contextmanager
def locating(module: nn.Module) -> Iterator[None]:
    """Turn an exception of the model in this block into a ForwardError that names the module."""
    running: list[tuple[str, nn.Module, str]] = []
    with ExitStack() as stack:
        for name, child in module.named_modules():
            for handle in _tracked(name, child, running):
                stack.callback(handle.remove)
        try:
            yield
        except ForwardError:
            raise
        except (Exception, SystemExit) as error:
            if not running:  # not the model's
                raise
            raise ForwardError(_describe(running, error)) from error


def forward(module: nn.Module, x: Tensor) -> Any:
    """Run the model without gradients, on its plain operators. Raises ForwardError."""
    with torch.no_grad(), slow_attention(), locating(module):
        return module(x.clone())


def failure(error: BaseException) -> str | None:
    """Say from its traceback in which module an exception was raised, on which input, and why; None if in none.

    For code that runs often, since it costs nothing where nothing fails.
    """
    if isinstance(error, ForwardError):
        return str(error)
    calls: list[tuple[nn.Module, Any]] = []
    ours = False
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is nn.Module._call_impl.__code__:
            calls.append((frame.f_locals["self"], frame.f_locals.get("args")))
            ours = False
        ours |= str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS
    if not calls or ours:
        return None
    names = {id(child): name for name, child in calls[0][0].named_modules()}
    module, args = next((call for call in reversed(calls) if id(call[0]) in names), calls[0])
    return _describe([(names[id(module)], module, _shape_of(args))], error)


_OURS = ("atlas", "flows", "storage")


def shape(tensor: Tensor) -> str:
    """Format the shape of a tensor, as in 3 × 224 × 224."""
    return " × ".join(map(str, tensor.shape)) or "one number"


def cause(error: BaseException) -> str:
    """Return the class and the first line of an exception, as in `RuntimeError: no kernel`."""
    try:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    except Exception:  # a user's class, whose own text fails
        lines = []
    text = lines[0] if lines else "no reason given"
    return f"{type(error).__name__}: {text[:MOST]}"


MOST = 240
"""Most characters of another library's message to repeat."""


def _tracked(name: str, child: nn.Module, running: list[tuple[str, nn.Module, str]]) -> Iterator[Any]:
    """Register the hooks that keep the calls under way."""

    def begin(module: nn.Module, args: Any) -> None:
        if not name:
            running.clear()  # another run may have failed and been caught
        running.append((name, module, _shape_of(args)))

    def end(module: nn.Module, args: Any, output: Any) -> None:
        if running:
            running.pop()

    yield child.register_forward_pre_hook(begin)
    yield child.register_forward_hook(end)


def _shape_of(args: Any) -> str:
    tensor = first_tensor(args)
    return "no tensor" if tensor is None else shape(tensor)


def _describe(running: list[tuple[str, nn.Module, str]], error: BaseException) -> str:
    name, module, taken = running[-1]
    return f"{place(name, module)} fails on an input of {taken}: {cause(error)}"


def place(name: str, module: nn.Module) -> str:
    """Name a module for a message: its path and its class."""
    return f"module {name} ({type(module).__name__})" if name else f"its own forward ({type(module).__name__})"
