"""Find the state dict of a module in a checkpoint: by the names and sizes that fit, under any prefix or nest."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

COUNTS = "num_batches_tracked"
"""Batch norm's count of training batches: older files lack it, and evaluation does not use it."""
STRAYS = frozenset({COUNTS, "n_averaged", "total_ops", "total_params", "_float_tensor", "_device", "position_ids"})
"""Last parts of names that wrappers and profilers leave in a state dict."""
METRICS = frozenset({"tp", "fp", "tn", "fn", "confmat", "correct", "total", "mean_value", "sum_value", "measures"})
"""Last parts of names of the states of metrics."""
AVERAGED = ("ema", "swa", "teacher", "momentum", "average", "averaged", "encoder_k", "target", "shadow")
"""Words in the prefix of weights that follow others: these are taken where both fit."""
MOST_CANDIDATES = 64
DEEPEST = 100
"""Most dicts in each other that are looked into."""


WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of names that wrappers of single modules leave in the middle: compiling, sharding, checkpointing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """A tensor of a checkpoint, and the nest it lies in: the keys that lead to its dict, joined by dots."""

    nest: str
    tensor: Tensor


def entries(tree: object, nest: str = "", above: tuple[int, ...] = ()) -> Iterator[tuple[str, Entry]]:
    """Yield every tensor of a tree of dicts with its name, all keys joined by dots; `above` are the dicts it lies in."""
    if not isinstance(tree, Mapping) or id(tree) in above or len(above) > DEEPEST:
        return
    for key, item in tree.items():
        name = f"{nest}.{key}" if nest else str(key)
        if isinstance(item, Tensor):
            yield name, Entry(nest=nest, tensor=item)
        else:
            yield from entries(item, name, (*above, id(tree)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """The tensors of a checkpoint under one prefix, beside those of a module; `inner` is what the module's names add."""

    module: nn.Module
    checkpoint: Mapping[str, Entry]
    prefix: str
    inner: str = ""
    optional: tuple[str, ...] = ()
    own: Mapping[str, Tensor] = field(repr=False)

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The tensors that the module has, too, by its names."""
        names = {name: self.prefix + name.removeprefix(self.inner) for name in self.own}
        return {own: self.checkpoint[name].tensor for own, name in names.items() if name in self.checkpoint}

    @cached_property
    def missing(self) -> list[str]:
        """Names of the module that the checkpoint lacks, without counts and tensors that share another's memory."""
        shared = {self.own[name].data_ptr() for name in self.state if self.own[name].numel()}
        return [
            name
            for name, tensor in self.own.items()
            if name not in self.state
            and not name.endswith(COUNTS)
            and not name.startswith(self.optional or ("\0",))
            and not (tensor.numel() and tensor.data_ptr() in shared)
        ]

    @cached_property
    def unexpected(self) -> list[str]:
        """Names under the prefix that the module lacks, without known strays and what it computes itself."""
        computed = {name for name, _ in self.module.named_buffers()}
        under = [self.inner + name.removeprefix(self.prefix) for name in self._beside if name.startswith(self.prefix)]
        return [name for name in under if name not in self.own and name not in computed and not _is_stray(name)]

    @cached_property
    def outside(self) -> list[str]:
        """Names beside the chosen ones, but outside the prefix: other parts of what was trained."""
        return [name for name in self._beside if not name.startswith(self.prefix) and not _is_stray(name)]

    @cached_property
    def mismatched(self) -> dict[str, tuple[torch.Size, torch.Size]]:
        """Sizes in the checkpoint and in the module, by name, where they differ."""
        pairs = {name: (tensor.shape, self.own[name].shape) for name, tensor in self.state.items()}
        return {name: (ours, theirs) for name, (ours, theirs) in pairs.items() if ours != theirs}

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, unexpected or of another size."""
        return bool(self.state) and not (self.missing or self.mismatched or self.unexpected)

    @property
    def name(self) -> str:
        """The prefix as FILE#KEY takes it."""
        return self.prefix.rstrip(".") or "its top level"

    @property
    def _beside(self) -> list[str]:
        """Names in the dicts that the chosen tensors lie in, or under the prefix if none fits."""
        chosen = {self.prefix + name.removeprefix(self.inner) for name in self.state}
        nests = {self.checkpoint[name].nest for name in chosen} or {self.prefix.rstrip(".")}
        return [name for name, entry in self.checkpoint.items() if entry.nest in nests]

    def problems(self) -> str:
        """List what does not fit."""
        listed = [
            _summary("missing", [f"{name}{_nearest(name, self.unexpected)}" for name in self.missing]),
            _summary("unexpected", [f"{name}{_nearest(name, self.missing)}" for name in self.unexpected]),
            _summary(
                "of another size",
                [f"{n} is {_size(a)}, the model's {_size(b)}" for n, (a, b) in self.mismatched.items()],
            ),
        ]
        return "; ".join(filter(None, listed))


def fits(
    module: nn.Module, checkpoint: Mapping[str, Entry], key: str | None = None, optional: tuple[str, ...] = ()
) -> list[Fit]:
    """Return what may be the module's weights, best first: whole ones, raw before averaged, then by names and sizes.

    With `key` only what lies under it.
    """
    choices = _fits(module, checkpoint, key, optional)
    bare = {} if any(fit.whole for fit in choices) else _unwrapped(checkpoint)
    return _fits(module, bare, key, optional) if bare else choices


def _unwrapped(checkpoint: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the checkpoint with names as they were before single modules were wrapped; nothing where none was, or two
    names would be the same."""
    names = {name: ".".join(part for part in name.split(".") if part not in WRAPPERS) for name in checkpoint}
    if len(set(names.values())) < len(names) or all(name == bare for name, bare in names.items()):
        return {}
    return {bare: checkpoint[name] for name, bare in names.items()}


def _fits(module: nn.Module, checkpoint: Mapping[str, Entry], key: str | None, optional: tuple[str, ...]) -> list[Fit]:
    own = module.state_dict()
    pairs = _pairs(own, checkpoint) or [(_largest(checkpoint), "")]
    choices = [
        Fit(module=module, checkpoint=checkpoint, prefix=prefix, inner=inner, optional=optional, own=own)
        for prefix, inner in pairs
        if key is None or f".{prefix}".startswith(f".{key}.") or f".{key}." in f".{prefix}"
    ]
    return sorted(choices, key=lambda fit: (not fit.whole, _is_averaged(fit) if fit.whole else False, -_likeness(fit)))


def _pairs(own: Mapping[str, Tensor], checkpoint: Mapping[str, Entry]) -> list[tuple[str, str]]:
    """Return prefixes of the checkpoint and of the module that make names equal, the commonest first."""
    votes: Counter[tuple[str, str]] = Counter()
    for inner in _common_prefixes(own):
        names = {name.removeprefix(inner) for name in own}
        for name in checkpoint:
            for start in _starts(name):
                if name[start:] in names:
                    votes[name[:start], inner] += 1
    most = max(votes.values(), default=0)
    return [pair for pair, count in votes.most_common(MOST_CANDIDATES) if 2 * count >= most]


def _starts(name: str) -> Iterator[int]:
    """Yield where the parts of a dotted name start."""
    yield 0
    yield from (place + 1 for place, char in enumerate(name) if char == ".")


def _common_prefixes(own: Mapping[str, Tensor]) -> list[str]:
    """Return the prefixes that all names of the module share, none first."""
    first = next(iter(own), "")
    shared = (first[:start] for start in _starts(first))
    return [prefix for prefix in shared if all(name.startswith(prefix) for name in own)]


def _largest(checkpoint: Mapping[str, Entry]) -> str:
    """Return the prefix of the dict with the most tensors."""
    nest = Counter(entry.nest for entry in checkpoint.values()).most_common(1)[0][0]
    return f"{nest}." if nest else ""


def _likeness(fit: Fit) -> int:
    return 2 * len(fit.state) - len(fit.mismatched)


def _is_averaged(fit: Fit) -> bool:
    parts = fit.prefix.lower().replace(".", "_").split("_")
    return any(word in parts or word in fit.prefix.lower().split(".") for word in AVERAGED)


def _is_stray(name: str) -> bool:
    return name.rpartition(".")[2] in STRAYS | METRICS


def _summary(kind: str, items: list[str]) -> str:
    more = f", and {len(items) - 3} more" if len(items) > 3 else ""
    return f"{len(items)} {kind} ({', '.join(items[:3])}{more})" if items else ""


def _nearest(name: str, others: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(others)[:500], 1, cutoff=0.7)
    return f", nearest {close[0]}" if close else ""


def _size(shape: torch.Size) -> str:
    return " × ".join(map(str, shape)) or "one number"
