"""Weights on disk: read a state dict without running code, and load it into a module that it fits."""

from __future__ import annotations

import difflib
import hashlib
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from storage.errors import BadWeights, first_line

RANDOM, DOWNLOAD = "random", "download"

_NESTS = ("state_dict", "model_state_dict", "model", "module")
_PREFIXES = ("module.", "_orig_mod.", "model.")
_COUNTS = "num_batches_tracked"
"""Batch norm's count of training batches: older files lack it, and evaluation does not use it."""


def seeded(spec: str, build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module with random weights that depend only on the spec; preserve the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(hashlib.sha256(spec.encode()).digest()[:8], "big") >> 1)
        return build()


def read(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file or a state dict (also one nested in `state_dict` or `model`).

    Raises BadWeights for a file that is missing or holds more than tensors.
    """
    if not path.is_file():
        raise BadWeights(f"weights {path}: no such file; --weights takes a file, `{RANDOM}` or `{DOWNLOAD}`")
    try:
        loaded = _load(path)
    except pickle.UnpicklingError:
        raise BadWeights(
            f"weights {path}: holds Python objects besides tensors, and loading those would run code; "
            "save module.state_dict() instead"
        ) from None
    except Exception as error:
        raise BadWeights(f"weights {path}: not a safetensors file or state dict ({first_line(error)[:160]})") from None
    return _find_state_dict(loaded, path)


def apply(module: nn.Module, state: Mapping[str, Tensor], *, source: str, optional: tuple[str, ...] = ()) -> None:
    """Load a state dict that has exactly the module's tensors.

    Tensors whose names start with one of `optional` may be missing. Raises BadWeights, listing what does not fit.
    """
    own = module.state_dict()
    state = _without_prefix(state, own)
    missing = [n for n in own if n not in state and not n.endswith(_COUNTS) and not n.startswith(optional)]
    unexpected = [name for name in state if name not in own]
    mismatched = size_mismatches(module, state)
    problems = [
        _summary("missing", [f"{name}{_nearest(name, unexpected)}" for name in missing]),
        _summary("unexpected", [f"{name}{_nearest(name, missing)}" for name in unexpected]),
        _summary("of another size", [f"{n} is {_size(a)}, the model's {_size(b)}" for n, (a, b) in mismatched.items()]),
    ]
    if any(problems):
        raise BadWeights(f"weights {source} do not fit the model: {'; '.join(filter(None, problems))}")
    module.load_state_dict(state, strict=False)


def size_mismatches(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.Size]]:
    """Return name → (size in the file, size in the module) for every tensor whose sizes differ."""
    own = module.state_dict()
    state = _without_prefix(state, own)
    return {n: (t.shape, own[n].shape) for n, t in state.items() if n in own and own[n].shape != t.shape}


def head_size(module: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """Return the number of classes of the file's head, if it differs from the module in nothing else."""
    pairs = size_mismatches(module, state).values()
    counts = {(ours[0], theirs[0]) for ours, theirs in pairs if len(ours) == len(theirs) and ours[1:] == theirs[1:]}
    alike = all(len(ours) == len(theirs) and ours[1:] == theirs[1:] for ours, theirs in pairs)
    return counts.pop()[0] if alike and len(counts) == 1 else None


def _load(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _find_state_dict(loaded: object, path: Path) -> dict[str, Tensor]:
    for nest in _NESTS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(nest), Mapping):
            loaded = loaded[nest]
    if not isinstance(loaded, Mapping):
        raise BadWeights(f"weights {path}: holds a {type(loaded).__name__}, not a state dict of tensors")
    state = {str(name): tensor for name, tensor in loaded.items() if isinstance(tensor, Tensor)}
    if not state:
        raise BadWeights(f"weights {path}: holds no tensors, only {', '.join(map(str, list(loaded)[:4])) or 'nothing'}")
    return state


def _without_prefix(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Remove the prefix that wrappers (DataParallel, compile, Lightning) put before every name."""
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state) and not any(name.startswith(prefix) for name in own):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _summary(kind: str, items: list[str]) -> str:
    more = f", and {len(items) - 3} more" if len(items) > 3 else ""
    return f"{len(items)} {kind} ({', '.join(items[:3])}{more})" if items else ""


def _nearest(name: str, others: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(others)[:500], 1, cutoff=0.7)
    return f", nearest {close[0]}" if close else ""


def _size(shape: torch.Size) -> str:
    return " × ".join(map(str, shape)) or "one number"
