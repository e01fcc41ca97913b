"""Fingerprint every layer by all that can affect it: the operators up to it, their constants, every tensor they touch.

A probe runs the model once under a `TorchDispatchMode`, below modules and hooks, where class tokens, positional
embeddings, attention's projections and bias tables all appear as arguments of operators. A layer's fingerprint is the
hash of the execution up to the moment it finishes: it may cover earlier operators of a parallel branch, but never less
than the layer depends on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from atlas.model.activations import UnknownLayerError
from atlas.model.dispatch import Operations, first_tensor, slow_attention, tensors
from atlas.model.tokens import by_layer

VERSION = 1

Digests = MutableMapping[Tensor, tuple[int, bytes]]
"""Content digests by tensor and in-place version: share one between calls to hash only tensors that changed.
A change through `.data` or numpy leaves the version as it is and goes unnoticed."""

_READS_VALUES = (
    "aten._local_scalar_dense",
    "aten.is_nonzero",
    "aten.nonzero",
    "aten.equal",
    "aten.masked_select",
    "aten._unique",
    "aten.unique",
    "aten.repeat_interleave",
)
"""Operators by which a model's control flow or shapes may depend on the image (so does indexing by a mask)."""


def fingerprints(
    module: nn.Module, example: Tensor, names: Iterable[str], extra: str, *, digests: Digests | None = None
) -> dict[str, str]:
    """Return 64 hex digits per layer; the same model gives the same in any process.

    `example` is one input `c h w`; `extra` describes the preprocessing before the model. A `layer@k` is the k-th call
    of a module. Once an operator reads values that depend on the image, another image may take another path: from there
    on every parameter and buffer of the model counts.

    Raises UnknownLayerError if a layer never finishes.
    """
    trace = _Trace(module, extra, digests if digests is not None else new_digests())
    x = example[None].clone()
    trace.start(x)
    wanted, result = set(names), dict[str, str]()
    named = by_layer(wanted, dict(module.named_modules()))
    calls: Counter[str] = Counter()

    def hook_of(base: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            for name in (base, f"{base}@{calls[base]}"):
                if name in named:
                    result.update(dict.fromkeys(named[name], trace.fingerprint(output)))
            calls[base] += 1

        return hook

    with ExitStack() as stack, torch.no_grad():
        stack.enter_context(slow_attention())
        for base, child in module.named_modules():
            stack.callback(child.register_forward_hook(hook_of(base)).remove)
        with trace:
            module(x)
    if wanted - result.keys():
        raise UnknownLayerError(f"never run by the model: {', '.join(sorted(wanted - result.keys()))}")
    return result


def contents(module: nn.Module, digests: Digests) -> str:
    """Return a hash of all parameters and buffers: for a model that reads values where no operator shows it."""
    trace = _Trace(module, "", digests)
    trace.cover_all()
    return trace.hash.hexdigest()


def new_digests() -> Digests:
    """Return an empty cache of content digests, which keeps no tensor alive."""
    digests: Digests = WeakTensorKeyDictionary()
    return digests


class _Trace(Operations):  # type: ignore[no-untyped-call]
    """Hashes each operator as it runs; tensors that operators return are numbered, all others hashed by content."""

    def __init__(self, module: nn.Module, extra: str, digests: Digests) -> None:
        super().__init__()
        self.hash = hashlib.sha256(f"{VERSION}\n{extra}\n".encode())
        self.module, self.digests = module, digests
        self.numbers: MutableMapping[Tensor, str] = WeakTensorKeyDictionary()
        self.count = 0
        self.covers_all = False

    def start(self, x: Tensor) -> None:
        self._number(x)

    def fingerprint(self, output: Any) -> str:
        """Return the fingerprint of a layer that has just finished with `output`."""
        here = self.hash.copy()
        here.update(f"-> {self._describe(first_tensor(output))}".encode())
        return here.hexdigest()

    def operation(self, name: str, args: Any, kwargs: dict[str, Any], run: Callable[[], Any]) -> Any:
        inputs = self._describe((args, kwargs))
        outputs = run()
        if not self.covers_all and _reads_values(name, inputs):
            self.covers_all = True
            self.cover_all()
        for tensor in tensors(outputs):
            self._number(tensor)
        self.hash.update(f"{name}({inputs}) = {self._describe(outputs)}\n".encode())
        return outputs

    def _number(self, tensor: Tensor) -> None:
        if tensor not in self.numbers:  # an in-place operator returns a tensor already numbered
            self.numbers[tensor] = f"#{self.count} {tensor.dtype} {tuple(tensor.shape)}"
            self.count += 1

    def cover_all(self) -> None:
        for name, tensor in [*self.module.named_parameters(), *self.module.named_buffers()]:
            if not name.endswith("num_batches_tracked"):
                self.hash.update(f"{name} {self._describe(tensor)}\n".encode())

    def _describe(self, value: Any) -> str:
        if isinstance(value, Tensor):
            return self.numbers.get(value) or self._content(value)
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self._describe, value))}]"
        if isinstance(value, dict):
            return f"{{{', '.join(f'{key}: {self._describe(item)}' for key, item in value.items())}}}"
        if value is None or isinstance(value, _PLAIN):
            return repr(value)
        return type(value).__qualname__  # a generator or the like: its address must not be hashed

    def _content(self, tensor: Tensor) -> str:
        """Hash a tensor from outside the trace: a parameter, a buffer, a constant, or a view of one."""
        version = -1 if tensor.is_inference() else tensor._version
        cached = self.digests.get(tensor)
        if cached is None or cached[0] != version or version < 0:
            raw = _strided(tensor.detach().cpu()).contiguous().flatten().view(torch.uint8).numpy()
            cached = (version, hashlib.sha256(raw.data).digest())
            self.digests[tensor] = cached
        return f"{tensor.dtype} {tuple(tensor.shape)} {cached[1].hex()}"


def _strided(tensor: Tensor) -> Tensor:
    """Return a tensor's values in plain memory, also those of a sparse or a quantised one."""
    values = tensor.dequantize() if tensor.is_quantized else tensor
    return values if values.layout is torch.strided else values.to_dense()


_PLAIN = (bool, int, float, complex, str, torch.dtype, torch.device, torch.layout, torch.memory_format)


def _reads_values(operation: str, inputs: str) -> bool:
    masks = operation.startswith("aten.index.Tensor") and "torch.bool" in inputs
    return "#" in inputs and (masks or operation.startswith(_READS_VALUES))
