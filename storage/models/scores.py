"""Choose the class scores in a model's output: by name, then by shape; or the tensor that the user names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from storage.errors import ModelError, UsageError

NAMES = (
    "logits",
    "scores",
    "class_scores",
    "class_logits",
    "cls_logits",
    "pred_logits",
    "cls_score",
    "probabilities",
    "probs",
    "predictions",
    "prediction",
    "pred",
    "out",
    "output",
    "y",
)
"""Names that class scores have in the outputs of models, the most telling first."""

SUM_TOLERANCE = 1e-3
"""Largest distance from 1 of the sum of a row of probabilities, in half precision too."""

DEEPEST = 5
"""Most steps from an output to its tensors that are looked for."""

ANOTHER = "--logits NAME takes another"

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Read the class scores `b k` from a model's output: the tensor at `path`; of probabilities, the logarithm.

    So the softmax of what it returns is the model's own probability. `note` says what was chosen where that was not
    the only choice.
    """

    path: Path = ()
    probabilities: bool = False
    note: str = ""

    def __call__(self, output: Any) -> Tensor:
        scores = columns(_at(output, self.path))
        return scores.clamp_min(torch.finfo(scores.dtype).tiny).log() if self.probabilities else scores

    @property
    def name(self) -> str:
        """The name of this choice in keys; a lone tensor of logits keeps the name of the default."""
        path, kind = spelled(self.path), "probabilities" if self.probabilities else "logits"
        return "find_logits" if not self.path and not self.probabilities else f"find_logits:{path}:{kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoScores:
    """A model without class scores, which fails only where they are needed."""

    reason: str
    note: str = ""
    name: str = "none"

    def __call__(self, output: Any) -> Tensor:
        raise ModelError(self.reason)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A tensor that may hold class scores, and its path in the output."""

    path: Path
    tensor: Tensor

    @property
    def count(self) -> int:
        return self.tensor.shape[1] if self.tensor.ndim > 1 else 1

    def __str__(self) -> str:
        return f"{spelled(self.path)} (b × {self.count})"


def find_logits(output: Any) -> Tensor:
    """Return the class scores `b k` in a model's output: by name, else the first tensor of two axes."""
    candidates = [Candidate(path=path, tensor=tensor) for path, tensor in leaves(output) if _has_columns(tensor)]
    if not candidates:
        raise ModelError(f"the model's output, {describe(output)}, has no class scores; give the Model its `logits`")
    return columns(min(candidates, key=_rank).tensor)


def choose(
    alone: Any, beside: Any, *, classes: int = 0, head: int = 0, requested: str | None = None
) -> Scores | NoScores:
    """Choose the class scores from the outputs for one image and for two.

    `classes` is the number of class names, `head` the number of outputs of the last linear layer, 0 where unknown.
    Raises UsageError where the tensor `requested` is not there or is no scores.
    """
    pairs = dict(leaves(beside))
    tensors = {path: (tensor, pairs[path]) for path, tensor in leaves(alone) if path in pairs}
    candidates = [Candidate(path=path, tensor=two) for path, (one, two) in tensors.items() if _is_scores(one, two)]
    if requested is not None:
        return _requested(requested, beside, candidates)
    if not candidates:
        return NoScores(reason=_why_none(alone, beside))
    best = min(candidates, key=lambda candidate: _preference(candidate, candidates, classes, head))
    return _scores(best, candidates)


def _scores(best: Candidate, candidates: Sequence[Candidate]) -> Scores:
    note = ""
    if len(candidates) > 1:
        note = f"class scores: {best}, of {', '.join(map(str, candidates))}; {ANOTHER}"
    probabilities = are_probabilities(columns(best.tensor))
    if probabilities:
        note += ("; " if note else "class scores: ") + "their rows add up to 1, so they are taken as probabilities"
    return Scores(path=best.path, probabilities=probabilities, note=note)


def are_probabilities(scores: Tensor) -> bool:
    """Tell whether rows of several values lie in 0..1 and add up to 1, as after a softmax."""
    if scores.shape[1] < 2 or not bool(scores.isfinite().all()):
        return False
    sums = scores.double().sum(1)
    return bool((scores >= 0).all()) and bool(((sums - 1).abs() <= SUM_TOLERANCE).all())


def columns(tensor: Tensor) -> Tensor:
    """Return scores as `b k`."""
    return tensor[:, None] if tensor.ndim == 1 else tensor.flatten(1)


def leaves(output: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Yield each tensor in an output with its path: the keys, fields and indices that lead to it."""
    if isinstance(output, Tensor):
        yield path, dense(output)
    elif len(path) >= DEEPEST or isinstance(output, type):
        return
    elif isinstance(output, Mapping):
        for key, item in output.items():
            yield from leaves(item, (*path, key if isinstance(key, int) else str(key)))
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        for key in output._fields:
            yield from leaves(getattr(output, key), (*path, key))
    elif isinstance(output, list | tuple):
        for number, item in enumerate(output):
            yield from leaves(item, (*path, number))
    elif dataclasses.is_dataclass(output):
        for item in dataclasses.fields(output):
            yield from leaves(getattr(output, item.name), (*path, item.name))
    elif hasattr(output, "__dict__"):
        for key, item in vars(output).items():
            yield from leaves(item, (*path, key))


def dense(tensor: Tensor) -> Tensor:
    """Return a tensor of a sparse layout as a dense one."""
    return tensor if tensor.layout is torch.strided else tensor.to_dense()


def spelled(path: Path) -> str:
    """Spell a path as `--logits` takes it."""
    return ".".join(map(str, path)) or "the output"


def describe(output: Any) -> str:
    """Describe an output for a message: its tensors with their shapes."""
    if isinstance(output, Tensor):
        kind = "" if output.is_floating_point() else f", {str(output.dtype).removeprefix('torch.')}"
        return f"a tensor of {tuple(output.shape)}{kind}"
    listed = [f"{spelled(path)} {tuple(tensor.shape)}" for path, tensor in leaves(output)]
    more = f" and {len(listed) - 6} more" if len(listed) > 6 else ""
    return f"a {type(output).__name__}" + (f" of {', '.join(listed[:6])}{more}" if listed else "")


def _at(output: Any, path: Path) -> Tensor:
    for step in path:
        try:
            output = output[step] if isinstance(output, Mapping) or isinstance(step, int) else getattr(output, step)
        except (KeyError, IndexError, AttributeError):
            raise ModelError(
                f"the model's output has no {spelled(path)} this time, but is {describe(output)}"
            ) from None
    if not isinstance(output, Tensor):
        raise ModelError(f"the model's output has no tensor at {spelled(path)} this time, but {describe(output)}")
    return dense(output)


def _has_columns(tensor: Tensor) -> bool:
    wide = tensor.ndim >= 2 and tensor.flatten(1).shape[1] == tensor.shape[1]
    return wide and tensor.is_floating_point() and tensor.shape[1] > 0


def _is_scores(one: Tensor, two: Tensor) -> bool:
    """Tell whether a tensor has the images on its first axis, and numbers per image on one more at most."""
    flat = one.ndim == 1 and one.is_floating_point()
    return (flat or _has_columns(one)) and (len(one), len(two)) == (1, 2) and one.shape[1:] == two.shape[1:]


def _name_rank(path: Path) -> int:
    name = next((step.lower() for step in reversed(path) if isinstance(step, str)), "")
    return NAMES.index(name) if name in NAMES else len(NAMES)


def _rank(candidate: Candidate) -> int:
    return _name_rank(candidate.path)


def _preference(
    candidate: Candidate, candidates: Sequence[Candidate], classes: int, head: int
) -> tuple[int, bool, bool, int]:
    """Order candidates: by name, by the number of class names, by the last linear layer, by their order."""
    unlike_head = bool(head) and candidate.count != head
    unlike_classes = bool(classes) and candidate.count != classes
    return _rank(candidate), unlike_classes, unlike_head, candidates.index(candidate)


def _requested(requested: str, beside: Any, candidates: Sequence[Candidate]) -> Scores:
    """Return the scores that the user names: by path, by its last part, or by the index of a tensor."""
    every = list(leaves(beside))
    matches = [path for path, _ in every if spelled(path) == requested]
    matches = matches or [path for path, _ in every if path and str(path[-1]) == requested]
    if not matches and requested.lstrip("-").isdecimal() and -len(every) <= int(requested) < len(every):
        matches = [every[int(requested)][0]]
    if len(matches) != 1:
        problem = "is not in" if not matches else f"names {len(matches)} tensors of"
        raise UsageError(f"--logits {requested} {problem} the model's output, {describe(beside)}")
    chosen = next((candidate for candidate in candidates if candidate.path == matches[0]), None)
    if chosen is None:
        raise UsageError(
            f"--logits {requested}: it has no row of numbers per image; for 2 images the model's output is {describe(beside)}"
        )
    return dataclasses.replace(_scores(chosen, [chosen]), note=f"class scores: {chosen}, as --logits says")


def _why_none(alone: Any, beside: Any) -> str:
    return (
        f"the model has no class scores, a row of numbers per image: for 1 image its output is {describe(alone)}, for 2 "
        f"{describe(beside)}; give the Model its `logits`, or name a unit instead of a class"
    )
