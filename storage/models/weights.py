"""Weights on disk: read a checkpoint without running code, and load what fits into a module."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import logging
import pathlib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from storage.errors import BadWeights, first_line
from storage.models import state_dicts
from storage.models.file_kinds import cut_short, recognise
from storage.models.specs import check_weights, split_weights
from storage.models.state_dicts import Entry, Fit

log = logging.getLogger(__name__)

_PLAIN: list[Any] = [
    argparse.Namespace,
    pathlib.PosixPath,
    np.dtype,
    *(
        (type(np.float64(0)).__reduce__(np.float64(0))[0], f"numpy.{core}.multiarray.scalar")
        for core in ("core", "_core")
    ),
    *{type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "uint32", "uint8", "bool")},
    np.ndarray,
    *((np.zeros(1).__reduce__()[0], f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
]
"""Plain values that training scripts keep beside the weights; making them runs no code of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The tensors of a file by their names, all keys joined by dots; `key` is the part that the user named."""

    path: Path
    key: str | None = None
    tensors: Mapping[str, Entry] = field(repr=False)

    def __str__(self) -> str:
        return str(self.path) if self.key is None else f"{self.path}#{self.key}"


def seeded(spec: str, build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module with random weights that depend only on the spec; preserve the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(hashlib.sha256(spec.encode()).digest()[:8], "big") >> 1)
        return build()


def read(source: Path | str) -> Checkpoint:
    """Read FILE or FILE#KEY: a safetensors file or a checkpoint of torch.save, by its content, not its suffix.

    Raises BadWeights for a file that is missing, is something else or holds more than tensors and plain values.
    """
    check_weights(str(source))
    path, key = split_weights(str(source))
    kind = recognise(path)
    try:
        loaded = _load(path, kind)
    except pickle.UnpicklingError as error:
        raise BadWeights(_of_pickle(path, error)) from None
    except (EOFError, RuntimeError) as error:
        if isinstance(error, EOFError) or "unexpected EOF" in str(error) or "corrupted" in str(error):
            raise cut_short(path) from None
        raise BadWeights(_unknown(path, error)) from None
    except Exception as error:
        if "IncompleteBuffer" in str(error) or "incomplete" in str(error):
            raise cut_short(path) from None
        raise BadWeights(_unknown(path, error)) from None
    return Checkpoint(path=path, key=key, tensors=_tensors(loaded, path))


def apply(module: nn.Module, checkpoint: Checkpoint, *, optional: tuple[str, ...] = ()) -> None:
    """Load the part of a checkpoint that has exactly the module's tensors, and say what else would fit.

    Tensors whose names start with one of `optional` may be missing. Raises BadWeights, listing what does not fit.
    """
    candidates = _candidates(module, checkpoint, optional)
    best = candidates[0]
    if not best.whole:
        raise BadWeights(f"weights {checkpoint} do not fit the model: {best.problems()}")
    buffers = {name for name, _ in module.named_buffers()}
    state = {
        name: _plain(checkpoint, name, tensor, best.own[name], name in buffers) for name, tensor in best.state.items()
    }
    _say_others(checkpoint, best, [fit for fit in candidates[1:] if fit.whole])
    module.load_state_dict(state, strict=False)


def head_size(module: nn.Module, checkpoint: Checkpoint) -> int | None:
    """Return the number of classes of the file's head, if it differs from the module in nothing else."""
    pairs = _candidates(module, checkpoint, ())[0].mismatched.values()
    counts = {(ours[0], theirs[0]) for ours, theirs in pairs if len(ours) == len(theirs) and ours[1:] == theirs[1:]}
    alike = all(len(ours) == len(theirs) and ours[1:] == theirs[1:] for ours, theirs in pairs)
    return counts.pop()[0] if alike and len(counts) == 1 else None


def _load(path: Path, kind: str) -> object:
    if kind == "safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    # Opened here: given a path, torch would go by its suffix.
    with torch.serialization.safe_globals(_PLAIN), path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _of_pickle(path: Path, error: pickle.UnpicklingError) -> str:
    """Tell a checkpoint with other objects in it from a file that is none."""
    if "Unsupported global" in str(error) or "Unsupported class" in str(error) or "GLOBAL" in str(error):
        return (
            f"weights {path}: holds Python objects besides tensors, and loading those would run code; "
            "save module.state_dict() instead"
        )
    return _unknown(path, error)


def _unknown(path: Path, error: Exception) -> str:
    reason = first_line(error)[:160]
    # torch's own words are of its options, or a bare number
    detail = "" if "weights_only" in reason or reason.isdecimal() else f" ({reason})"
    return f"weights {path}: not a safetensors file or state dict{detail}; save module.state_dict() with torch.save"


def _tensors(loaded: object, path: Path) -> dict[str, Entry]:
    """Return all tensors of a checkpoint. Raises BadWeights where it has none."""
    if not isinstance(loaded, Mapping):
        raise BadWeights(f"weights {path}: holds a {type(loaded).__name__}, not a state dict of tensors")
    tensors = dict(state_dicts.entries(loaded))
    if not tensors:
        raise BadWeights(f"weights {path}: holds no tensors, only {', '.join(map(str, list(loaded)[:4])) or 'nothing'}")
    return tensors


def _candidates(module: nn.Module, checkpoint: Checkpoint, optional: tuple[str, ...]) -> list[Fit]:
    """Return what may be the module's weights, best first. Raises BadWeights where the key has none."""
    candidates = state_dicts.fits(module, checkpoint.tensors, checkpoint.key, optional)
    if not candidates:
        others = state_dicts.fits(module, checkpoint.tensors, None, optional)
        fitting = ", ".join(fit.name for fit in others if fit.whole) or "none"
        raise BadWeights(f"weights {checkpoint}: holds no such weights; those that fit the model: {fitting}")
    return candidates


def _say_others(checkpoint: Checkpoint, best: Fit, others: list[Fit]) -> None:
    """Say what was taken where other weights fit as well, and what was left out beside them."""
    if checkpoint.key is not None:
        return
    unlike = [fit for fit in others if any(not _same(fit.state[name], best.state[name]) for name in best.state)]
    if unlike:
        more = ", ".join(f"--weights {checkpoint.path}#{fit.name}" for fit in unlike[:3])
        log.warning("weights %s: taken from %s; others fit, too: %s", checkpoint, best.name, more)
    elif best.outside:
        left_out = ", ".join(best.outside[:3]) + (f" and {len(best.outside) - 3} more" if len(best.outside) > 3 else "")
        log.warning("weights %s: taken from %s; left out beside it: %s", checkpoint, best.name, left_out)


def _same(a: Tensor, b: Tensor) -> bool:
    return a is b or (a.dtype == b.dtype and torch.equal(a, b))


def _plain(checkpoint: Checkpoint, name: str, tensor: Tensor, own: Tensor, is_buffer: bool) -> Tensor:
    """Return a tensor as plain numbers. Raises BadWeights where it has none that the module could use."""
    if tensor.is_meta:
        raise BadWeights(f"weights {checkpoint}: {name} has no values (device meta); save the weights themselves")
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if own.is_floating_point() and (not tensor.is_floating_point() or tensor.dtype.itemsize == 1):
        what = "complex numbers" if tensor.is_complex() else "quantised values without their scales"
        raise BadWeights(
            f"weights {checkpoint}: {name} holds {_dtype(tensor)} where the model has {_dtype(own)}: {what}; "
            "save the weights as real numbers, before they are quantised"
        )
    _check_finite(checkpoint, name, tensor, own, is_buffer)
    return tensor


def _check_finite(checkpoint: Checkpoint, name: str, tensor: Tensor, own: Tensor, is_buffer: bool) -> None:
    """Raise BadWeights for values that are not finite, or would not be in the model's precision."""
    mask = is_buffer and not name.endswith(STATISTICS)  # masks that a module keeps may be infinite
    broken = tensor.isnan() if mask else ~tensor.isfinite()
    if tensor.is_floating_point() and bool(broken.any()):
        kind = "not a number (NaN)" if bool(tensor.isnan().any()) else "infinite"
        raise BadWeights(
            f"weights {checkpoint}: {name} has {int(broken.sum())} of {tensor.numel()} values that are {kind}; "
            "take a checkpoint from before the training diverged"
        )
    beyond = tensor.isfinite() & ~tensor.to(own.dtype).isfinite()
    if bool(beyond.any()):
        raise BadWeights(
            f"weights {checkpoint}: {name} has {int(beyond.sum())} of {tensor.numel()} values that are too large for "
            f"{_dtype(own)}; take a checkpoint from before the training diverged"
        )


STATISTICS = ("running_mean", "running_var")
"""Buffers of batch norm, which are no masks."""


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
