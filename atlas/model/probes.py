"""Describe what comes out of a model's layers on fixed inputs, in float64, the same on any processor.

Some inputs are run a second time, moved by 1e-12. Where an output moves by much more, it amplifies rounding errors (a
constant picture divided by its own deviation, say) or is not a function of the input: there its numbers do not count.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from atlas.model import sketch
from atlas.model.activations import split_call
from atlas.model.dispatch import first_tensor, slow_attention
from atlas.model.double import Reads, double
from atlas.model.sketch import Sketch
from atlas.model.tokens import by_layer

_MOVE = 1e-12
_UNSTABLE = "not stable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What comes out of layers: text per layer, equal where the outputs are."""

    text: dict[str, str]
    outside: frozenset[str]
    """Layers before whose end the model read values outside torch."""
    unstable: tuple[str, ...] = ()
    """Layers whose output for a picture is not stable."""
    irregular: tuple[str, ...] = ()
    """Layers that do not run equally often on every input."""


@dataclass(slots=True)
class _Pass:
    """The sketches of one forward pass by layer, the layers before whose end values were read outside torch, and the number
    of calls of each module."""

    sketches: dict[str, list[Sketch]] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)


def outputs(
    module: nn.Module,
    inputs: Sequence[Tensor],
    names: Iterable[str],
    *,
    checked: Sequence[int],
    scores: Callable[[Any], Tensor] | None = None,
) -> Outputs:
    """Run the module on inputs `c h w` one at a time and describe the outputs of the named layers.

    The name "" is that of the module's own output, to which `scores` adds the class scores. The inputs at `checked` are run
    twice; the last of them stands for those that are not. Raises whatever the module raises in float64.
    """
    try:
        return _outputs(module, inputs, frozenset(names), checked, scores)
    except Exception:  # compiled code checks its parameters where none can be raised: it needs a copy in float64
        return _outputs(copy.deepcopy(module).double(), inputs, frozenset(names), checked, scores)


def _outputs(
    module: nn.Module,
    inputs: Sequence[Tensor],
    wanted: frozenset[str],
    checked: Sequence[int],
    scores: Callable[[Any], Tensor] | None,
) -> Outputs:
    plain = [_forward(module, x.double(), wanted, scores) for x in inputs]
    moved = {index: _forward(module, _moved(inputs[index].double()), wanted, scores) for index in checked}
    text, unstable = {}, []
    for name in sorted(wanted):
        firsts = [one.sketches.get(name, []) for one in plain]
        seconds = {index: one.sketches.get(name, []) for index, one in moved.items()}
        text[name], stable = _describe(firsts, seconds)
        unstable += [] if stable else [name]
    modules = dict(module.named_modules())
    calls = {name: {one.calls[split_call(name, modules)[0]] for one in plain} for name in sorted(wanted)}
    return Outputs(
        text=text,
        outside=frozenset().union(*(one.outside for one in plain)),
        unstable=tuple(unstable),
        irregular=tuple(name for name, counts in calls.items() if len(counts) > 1),
    )


def of_arrays(arrays: Sequence[Any]) -> str:
    """Describe arrays that are not stable in their last digits, such as pictures before the model, in one text."""
    sketches = [sketch.sketch(np.asarray(array, np.float64)) for array in arrays]
    scales = [sketch.scale_of([one]) for one in sketches]
    parts = [
        [sketch.rounded_scale(scale), *sketch.numbers(one, scale)] for one, scale in zip(sketches, scales, strict=True)
    ]
    return json.dumps(parts)


def first_difference(module: nn.Module, x: Tensor) -> str | None:
    """Name the first layer that gives another output when the module runs a second time on one input; None if none does."""
    first, second = (_digests(module, x) for _ in range(2))
    differing = [name for (name, one), (_, other) in zip(first, second, strict=False) if one != other]
    return differing[0] if differing else None


@contextmanager
def fixed_seeds() -> Iterator[None]:
    """Seed the generators of torch, numpy and Python, and give them back as they were."""
    of_numpy, of_python = np.random.get_state(), random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        try:
            yield
        finally:
            np.random.set_state(of_numpy)
            random.setstate(of_python)


def _forward(module: nn.Module, x: Tensor, wanted: frozenset[str], scores: Callable[[Any], Tensor] | None) -> _Pass:
    with fixed_seeds(), slow_attention(), double() as reads:
        return _run(module, x, wanted, scores, reads)


def _run(
    module: nn.Module, x: Tensor, wanted: frozenset[str], scores: Callable[[Any], Tensor] | None, reads: Reads
) -> _Pass:
    result = _Pass()
    named = by_layer(wanted, dict(module.named_modules()))

    def keep(name: str, tensors: Sequence[Tensor | None]) -> None:
        outside = reads.outside
        result.outside |= {name} if outside else set()
        result.sketches[name] = [sketch.sketch(_array(tensor)) for tensor in tensors if tensor is not None]
        reads.outside = outside  # sketching reads numbers, the model did not

    def hook_of(base: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            for plain in (base, f"{base}@{result.calls[base]}"):
                for name in named.get(plain, ()) if plain else ():
                    keep(name, [first_tensor(output)])
            result.calls[base] += 1

        return hook

    with ExitStack() as stack:
        for base, child in module.named_modules():
            stack.callback(child.register_forward_hook(hook_of(base)).remove)
        output = module(x[None])
    if "" in wanted:
        keep("", [first_tensor(output), _scores(output, scores)])
    return result


def _scores(output: Any, scores: Callable[[Any], Tensor] | None) -> Tensor | None:
    """Return the class scores; None for a model that has none, which is no fault before they are asked for."""
    try:
        return scores(output) if scores is not None else None
    except Exception:
        return None


def _array(tensor: Tensor) -> Any:
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return real.detach().double().cpu().numpy()


def _moved(x: Tensor) -> Tensor:
    return x + _MOVE * torch.from_numpy(np.resize(sketch.weights(), x.numel()).reshape(x.shape))


def _describe(firsts: Sequence[Sequence[Sketch]], seconds: Mapping[int, Sequence[Sketch]]) -> tuple[str, bool]:
    """Describe the outputs of one layer, tensor by tensor; return also whether the last checked input is stable."""
    parts, sound = [], True
    for number in range(max(map(len, firsts), default=0)):
        rows = [row[number] if number < len(row) else None for row in firsts]
        again = {index: row[number] if number < len(row) else None for index, row in seconds.items()}
        part, stable = _describe_tensor(rows, again)
        parts.append(part)
        sound &= stable
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest(), sound


def _describe_tensor(rows: list[Sketch | None], again: dict[int, Sketch | None]) -> tuple[list[object], bool]:
    scale = sketch.scale_of([row for row in rows if row is not None])
    stable = {index: _agree(rows[index], other, scale) for index, other in again.items()}
    rest = next(reversed(stable.values()), True)
    counting = [row if stable.get(index, rest) else None for index, row in enumerate(rows)]
    scale = sketch.scale_of([row for row in counting if row is not None])
    numbers = [_UNSTABLE if row is None else sketch.numbers(row, scale) for row in counting]
    return [sketch.rounded_scale(scale), *numbers], rest


def _agree(first: Sketch | None, second: Sketch | None, scale: float) -> bool:
    return first is not None and second is not None and sketch.close(first, second, scale)


def _digests(module: nn.Module, x: Tensor) -> list[tuple[str, str]]:
    """Return the layers in the order in which they finish, each with a hash of its output."""
    digests: list[tuple[str, str]] = []

    def hook_of(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            tensor = first_tensor(output)
            data = b"" if tensor is None else _array(tensor).tobytes()
            digests.append((name, hashlib.sha256(data).hexdigest()))

        return hook

    with ExitStack() as stack, torch.no_grad(), fixed_seeds(), slow_attention():
        for name, child in module.named_modules():
            stack.callback(child.register_forward_hook(hook_of(name)).remove)
        module(x[None])
    return digests
