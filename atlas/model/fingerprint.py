"""Fingerprint every layer by all that can reach it: the operations up to it, their constants, every tensor they touch.

A probe runs the model once under a `TorchDispatchMode`, below modules and hooks, where class tokens, positional
embeddings, attention's projections and bias tables all show as arguments of operations. A layer's fingerprint is the
hash of the execution up to the moment it finishes: that may cover what a parallel branch did earlier, never less than
what the layer depends on.
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

VERSION = 1

Digests = MutableMapping[Tensor, tuple[int, bytes]]
"""Content digests by tensor and its in-place version: given to several calls, only what changed is hashed again.
A change through `.data` or numpy raises no version and is not seen."""

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
"""Operations by which a model's control flow or shapes may depend on the image (with indexing by a mask)."""


def fingerprints(
    module: nn.Module, example: Tensor, names: Iterable[str], extra: str, *, digests: Digests | None = None
) -> dict[str, str]:
    """Return 64 hex digits per layer; the same model gives the same in any process.

    `example` is one input `c h w`; `extra` is what happens before the model (the preprocessing). A `layer@k` is the
    k-th call of a module. From an operation on that reads values which depend on the image, the path taken may be
    another for another image: from there on every parameter and buffer of the model counts.

    Raises UnknownLayerError where a layer never finishes.
    """
    trace = _Trace(module, extra, digests if digests is not None else new_digests())
    x = example[None].clone()
    trace.start(x)
    wanted, found = set(names), dict[str, str]()
    calls: Counter[str] = Counter()

    def hook_of(base: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            for name in (base, f"{base}@{calls[base]}"):
                if name in wanted:
                    found[name] = trace.up_to(output)
            calls[base] += 1

        return hook

    with ExitStack() as stack, torch.no_grad():
        stack.enter_context(slow_attention())
        for base, child in module.named_modules():
            stack.callback(child.register_forward_hook(hook_of(base)).remove)
        with trace:
            module(x)
    if wanted - found.keys():
        raise UnknownLayerError(f"never run by the model: {', '.join(sorted(wanted - found.keys()))}")
    return found


def new_digests() -> Digests:
    """Return an empty cache of content digests, which keeps no tensor alive."""
    digests: Digests = WeakTensorKeyDictionary()
    return digests


class _Trace(Operations):  # type: ignore[no-untyped-call]
    """Hashes each operation as it runs. Tensors made by one of them are numbered, all others are hashed by content."""

    def __init__(self, module: nn.Module, extra: str, digests: Digests) -> None:
        super().__init__()
        self.hash = hashlib.sha256(f"{VERSION}\n{extra}\n".encode())
        self.module, self.digests = module, digests
        self.numbers: MutableMapping[Tensor, str] = WeakTensorKeyDictionary()
        self.made = 0
        self.covers_all = False

    def start(self, x: Tensor) -> None:
        self._number(x)

    def up_to(self, output: Any) -> str:
        """Return the fingerprint of a layer that has just finished with `output`."""
        here = self.hash.copy()
        here.update(f"-> {self._describe(first_tensor(output))}".encode())
        return here.hexdigest()

    def operation(self, name: str, args: Any, kwargs: dict[str, Any], run: Callable[[], Any]) -> Any:
        inputs = self._describe((args, kwargs))
        outputs = run()
        if not self.covers_all and _reads_values(name, inputs):
            self.covers_all = True
            self._cover_all()
        for tensor in tensors(outputs):
            self._number(tensor)
        self.hash.update(f"{name}({inputs}) = {self._describe(outputs)}\n".encode())
        return outputs

    def _number(self, tensor: Tensor) -> None:
        if tensor not in self.numbers:  # an in-place operation returns a tensor that has its number
            self.numbers[tensor] = f"#{self.made} {tensor.dtype} {tuple(tensor.shape)}"
            self.made += 1

    def _cover_all(self) -> None:
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
        return type(value).__qualname__  # a generator or the like: its address must not enter

    def _content(self, tensor: Tensor) -> str:
        """Hash a tensor that comes from outside: a parameter, a buffer, a constant, or a view of one."""
        version = -1 if tensor.is_inference() else tensor._version
        known = self.digests.get(tensor)
        if known is None or known[0] != version or version < 0:
            raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            known = (version, hashlib.sha256(raw.data).digest())
            self.digests[tensor] = known
        return f"{tensor.dtype} {tuple(tensor.shape)} {known[1].hex()}"


_PLAIN = (bool, int, float, complex, str, torch.dtype, torch.device, torch.layout, torch.memory_format)


def _reads_values(operation: str, inputs: str) -> bool:
    masks = operation.startswith("aten.index.Tensor") and "torch.bool" in inputs
    return "#" in inputs and (masks or operation.startswith(_READS_VALUES))
