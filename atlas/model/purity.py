"""Check that a model is a function of the image: no value may depend on the batch, on the call or on chance.

The model runs on one image alone, beside another, beside zeros, behind others, and alone again. Where the values of the
named layers or of the output differ, a second, slower comparison finds the first module whose values do, and the reason.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from atlas.model import trial
from atlas.model.activations import split_call
from atlas.model.dispatch import Operations, first_tensor, is_plain, slow_attention

TOLERANCE = 1e-3
"""Largest difference of a value, relative to the root mean square of its layer; rounding is about a thousandth of it."""

ALONE, BESIDE, PADDED, AGAIN = "alone", "beside another image", "beside zeros", "at a second call"
BEHIND = "behind other images"
BATCH = 4
"""Images of the batch whose last is the one that is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """A model that is no function of the image: when its values differ, the first module where, and why."""

    when: str
    where: str
    reason: str

    def __str__(self) -> str:
        return f"its values for an image change {self.when}, first in {self.where}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The model's outputs for one image alone and beside another, and its variation, if any."""

    alone: Any
    beside: Any
    variation: Variation | None


def check(module: nn.Module, example: Tensor, names: Iterable[str] = ()) -> Trial:
    """Compare the named layers and the output of five runs on `example` `c h w`. Raises ForwardError."""
    modules = dict(module.named_modules())
    bases = {split_call(name, modules)[0] for name in names}
    inputs = _inputs(example)
    outputs, when = _compare(module, inputs, bases)
    if when is not None and _only_rounds(module, inputs, bases):
        when = None
    variation = None if when is None else _explain(module, inputs[ALONE], inputs[when], when)
    return Trial(alone=outputs[ALONE], beside=outputs[BESIDE], variation=variation)


def _inputs(example: Tensor) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    other = 1 + 2 * torch.randn(example.shape, generator=generator, dtype=torch.float32).to(example)
    alone = example[None]
    pair, padded = torch.stack([example, other]), torch.stack([example, torch.zeros_like(example)])
    behind = torch.stack([other] * (BATCH - 1) + [example])
    return {ALONE: alone, BESIDE: pair, PADDED: padded, BEHIND: behind, AGAIN: alone}


def _compare(module: nn.Module, inputs: Mapping[str, Tensor], bases: set[str]) -> tuple[dict[str, Any], str | None]:
    """Run all inputs; return the outputs, and the first input that gives other values than the image alone."""
    outputs: dict[str, Any] = {}
    expected, calls = list[Tensor](), 0
    when = None
    for name, x in inputs.items():
        layers: list[Tensor] = []
        with ExitStack() as stack:
            for base, child in module.named_modules():
                if base in bases:
                    stack.callback(child.register_forward_hook(_keeping(layers, len(x), name)).remove)
            outputs[name] = trial.forward(module, x)
        # Detectors return a list with an entry per image, of which the compared one is first, or last.
        leaves = _leaves(outputs[name])
        leaves = leaves[-len(_leaves(outputs[ALONE])) or None :] if name == BEHIND else leaves
        values = layers + [_own(tensor, len(x), name) for tensor in leaves]
        if name == ALONE:
            expected, calls = values, len(layers)
        elif (when is None or name == AGAIN) and (len(layers) != calls or any(map(differs, expected, values))):
            when = name  # two calls that differ say more than what stood beside the image
    return outputs, when


def _keeping(layers: list[Tensor], batch: int, when: str) -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None and is_plain(tensor):
            layers.append(_own(tensor, batch, when).clone())

    return hook


def _own(tensor: Tensor, batch: int, when: str) -> Tensor:
    """Return the part of a tensor that belongs to the compared image; all of it where no axis of images is first."""
    if not tensor.ndim or len(tensor) % batch:
        return tensor
    size = len(tensor) // batch
    return tensor[len(tensor) - size :] if when == BEHIND else tensor[:size]


def differs(expected: Tensor, values: Tensor) -> bool:
    """Tell whether two tensors of one shape differ by more than rounding; those of another shape are not compared."""
    if expected.shape != values.shape or not expected.is_floating_point() or not expected.numel():
        return False
    before, after = expected.double(), values.double()
    finite = before.isfinite()
    if not torch.equal(finite, after.isfinite()):
        return True
    before, after = before[finite], after[finite]
    size = before.square().mean().sqrt() if before.numel() else 0.0
    return bool(((before - after).abs() > TOLERANCE * size).any())


def _leaves(output: Any, above: tuple[int, ...] = ()) -> list[Tensor]:
    """Return all tensors in a model's output, also those of its objects; `above` are those that it lies in."""
    if isinstance(output, Tensor):
        return [output] if is_plain(output) else []
    if id(output) in above:
        return []
    within = (*above, id(output))
    if isinstance(output, Mapping):
        return [tensor for item in output.values() for tensor in _leaves(item, within)]
    if isinstance(output, list | tuple):
        return [tensor for item in output for tensor in _leaves(item, within)]
    if dataclasses.is_dataclass(output) or hasattr(output, "__dict__"):
        return _leaves(vars(output), within)
    return []


def _only_rounds(module: nn.Module, inputs: Mapping[str, Tensor], bases: set[str]) -> bool:
    """Tell whether the differences vanish in double precision, where rounding is a billion times smaller."""
    try:
        exact = copy.deepcopy(module).double()
        return _compare(exact, {name: x.double() for name, x in inputs.items()}, bases)[1] is None
    except Exception:
        return False  # a model that knows single precision alone


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """A module's input or output, and the module whose code was running: itself, or the one that called it."""

    value: Tensor
    running: str
    after: str


class _Recorder(Operations):  # type: ignore[no-untyped-call]
    """Records inputs and outputs of every module call, and the random operators that each module's own code runs."""

    def __init__(self, batch: int, when: str) -> None:
        super().__init__()
        self.batch, self.when, self.stack, self.events = batch, when, [""], list[_Event]()
        self.random: list[tuple[int, str]] = []
        self.last = ""

    def operation(self, name: str, args: Any, kwargs: dict[str, Any], run: Callable[[], Any]) -> Any:
        if any(word in name for word in _CHANCE):
            self.random.append((len(self.events), name))
        return run()

    def hooks(self, name: str, child: nn.Module) -> Iterator[Any]:
        def begin(module: nn.Module, args: Any) -> None:
            self._add(first_tensor(args))
            self.stack.append(name)

        def end(module: nn.Module, args: Any, output: Any) -> None:
            self._add(first_tensor(output))
            self.stack.pop()
            self.last = name

        yield child.register_forward_pre_hook(begin)
        yield child.register_forward_hook(end)

    def _add(self, tensor: Tensor | None) -> None:
        plain = tensor is not None and is_plain(tensor)
        value = _own(tensor, self.batch, self.when).clone() if tensor is not None and plain else torch.empty(0)
        self.events.append(_Event(value=value, running=self.stack[-1], after=self.last))


_CHANCE = ("dropout", "bernoulli", "rand", "normal", "uniform", "multinomial", "poisson", "exponential")
"""Parts of the names of operators that draw random numbers."""


def _record(module: nn.Module, x: Tensor, when: str) -> _Recorder:
    recorder = _Recorder(len(x), when)
    with ExitStack() as stack, torch.no_grad(), slow_attention():
        for name, child in module.named_modules():
            for handle in recorder.hooks(name, child):
                stack.callback(handle.remove)
        with recorder:
            module(x.clone())
    return recorder


def _explain(module: nn.Module, alone: Tensor, x: Tensor, when: str) -> Variation:
    """Find the first module whose values differ between the image alone and `x`, and the reason."""
    before = {name: tensor.clone() for name, tensor in module.named_buffers()}
    first, second = _record(module, alone, ALONE), _record(module, x, when)
    number = next(
        (n for n, (a, b) in enumerate(zip(first.events, second.events, strict=False)) if differs(a.value, b.value)),
        len(second.events) - 1,
    )
    event = second.events[number]
    culprit = module.get_submodule(event.running)
    after = f", after {event.after}" if event.after and not event.running else ""
    chance = [name for place, name in second.random if place == number]
    return Variation(
        when="between two calls" if when == AGAIN or chance else when,
        where=trial.place(event.running, culprit) + after,
        reason=_reason(culprit, chance, _changed(module, before), when),
    )


def _changed(module: nn.Module, before: Mapping[str, Tensor]) -> list[str]:
    return [name for name, tensor in module.named_buffers() if name in before and not torch.equal(before[name], tensor)]


def _reason(culprit: nn.Module, chance: list[str], changed: list[str], when: str) -> str:
    if isinstance(culprit, _BatchNorm) and culprit.running_mean is None:
        return "batch norm without running statistics takes those of the batch"
    if ".quantized.dynamic" in type(culprit).__module__:
        return "its input is quantised by the range of the whole batch (dynamic quantisation)"
    if culprit.training:
        return "it is in training mode"
    if any("dropout" in name or "bernoulli" in name for name in chance):
        return "it drops values by chance, as functional dropout does in evaluation, too (pass training=self.training)"
    if chance:
        return f"it draws random numbers ({chance[0].removeprefix('aten.').split('.')[0]})"
    if changed:
        return f"it changes its buffer {changed[0]} at every call"
    if when == AGAIN:
        return "it gives another value at every call"
    if when == BEHIND:
        return "it treats an image by its place in the batch, or by the images before it"
    return "it mixes the images of a batch (a mean or maximum over them, or a mask drawn by chance)"
