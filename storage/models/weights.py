"""Weights on disk: read a state dict without running code, and put it into a module it fits."""

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
"""Batch norm counts its training batches; older files lack it and nothing reads it in evaluation."""


def seeded(spec: str, build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module with random weights that depend on the spec only; the caller's random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(hashlib.sha256(spec.encode()).digest()[:8], "big") >> 1)
        return build()


def read(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file or a state dict (also inside `state_dict`, `model`; without `module.` prefixes).

    Raises BadWeights for what is not there or holds more than tensors.
    """
    if not path.is_file():
        raise BadWeights(f"weights {path}: no such file; --weights takes a file, `{RANDOM}` or `{DOWNLOAD}`")
    try:
        loaded = _load(path)
    except pickle.UnpicklingError:
        raise BadWeights(
            f"weights {path}: holds Python objects beside tensors, which loading would run as code; "
            "save module.state_dict() instead"
        ) from None
    except Exception as error:
        raise BadWeights(f"weights {path}: not a safetensors file or state dict ({first_line(error)[:160]})") from None
    return _state(loaded, path)


def apply(module: nn.Module, state: Mapping[str, Tensor], *, source: str, optional: tuple[str, ...] = ()) -> None:
    """Load a state dict that has every tensor the module has, and no other.

    Names that begin with one of `optional` may lack. Raises BadWeights that lists what does not fit.
    """
    own = module.state_dict()
    state = _without_prefix(state, own)
    missing = [n for n in own if n not in state and not n.endswith(_COUNTS) and not n.startswith(optional)]
    unexpected = [name for name in state if name not in own]
    resized = misfits(module, state)
    problems = [
        _listed("missing", [f"{name}{_nearest(name, unexpected)}" for name in missing]),
        _listed("unexpected", [f"{name}{_nearest(name, missing)}" for name in unexpected]),
        _listed("of another size", [f"{n} is {_size(a)}, the model's {_size(b)}" for n, (a, b) in resized.items()]),
    ]
    if any(problems):
        raise BadWeights(f"weights {source} do not fit the model: {'; '.join(filter(None, problems))}")
    module.load_state_dict(state, strict=False)


def misfits(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.Size]]:
    """Return name → (size in the file, size in the module) of every tensor whose sizes differ."""
    own = module.state_dict()
    state = _without_prefix(state, own)
    return {n: (t.shape, own[n].shape) for n, t in state.items() if n in own and own[n].shape != t.shape}


def head_size(module: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """Return how many classes the file's head has, if that number is all in which it differs from the module's."""
    pairs = misfits(module, state).values()
    counts = {(ours[0], theirs[0]) for ours, theirs in pairs if len(ours) == len(theirs) and ours[1:] == theirs[1:]}
    alike = all(len(ours) == len(theirs) and ours[1:] == theirs[1:] for ours, theirs in pairs)
    return counts.pop()[0] if alike and len(counts) == 1 else None


def _load(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _state(loaded: object, path: Path) -> dict[str, Tensor]:
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
    """Take off what wrappers (DataParallel, compile, Lightning) put before every name."""
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state) and not any(name.startswith(prefix) for name in own):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _listed(what: str, items: list[str]) -> str:
    more = f", and {len(items) - 3} more" if len(items) > 3 else ""
    return f"{len(items)} {what} ({', '.join(items[:3])}{more})" if items else ""


def _nearest(name: str, others: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(others)[:500], 1, cutoff=0.7)
    return f", nearest {close[0]}" if close else ""


def _size(shape: torch.Size) -> str:
    return " × ".join(map(str, shape)) or "one number"
