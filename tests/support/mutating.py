"""Change one thing in the code of a model, and see whether its outputs change and whether its fingerprints do.

A mutant is the model of `tests/data/own_model` with one change in the syntax tree of one of its files.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import itertools
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flows.model import fingerprints, prepared
from storage import models

ORIGINAL = Path(__file__).parents[1] / "data" / "own_model"
FILES = ("net.py", "helper.py")
SPEC = "mine.net:make"
LAYERS = ("stem", "mix", "mix.1", "tail", "head")

SWAPS: dict[type[Any], type[Any]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Gt: ast.Lt,
    ast.Lt: ast.Gt,
}
NAMES = {"mean": "amax", "amax": "mean", "amin": "amax", "sigmoid": "tanh", "abs": "sin", "tanh": "sin", "GELU": "ReLU"}
NAMES |= {"max": "min", "std": "mean", "flip": "roll", "randn": "rand", "clamp": "clip", "where": "where"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed file of the model, and what was changed in it."""

    file: str
    line: int
    change: str
    source: str


def mutants(seed: int = 0) -> list[Mutant]:
    """Return all mutants in a seeded order. Some do not run, and some do what the original does."""
    every = [mutant for file in FILES for mutant in _of_file(file)]
    random.Random(seed).shuffle(every)
    return every


def _of_file(file: str) -> Iterator[Mutant]:
    text = (ORIGINAL / "mine" / file).read_text()
    plain = ast.unparse(ast.parse(text))
    for index, node in enumerate(ast.walk(ast.parse(text))):
        for variant in range(4 if isinstance(node, CHANGING) else 0):
            if not _change(copy.deepcopy(node), variant):
                continue
            tree = ast.parse(text)
            before = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else type(node).__name__
            change = _change(list(ast.walk(tree))[index], variant)
            if (source := ast.unparse(tree)) != plain:
                yield Mutant(file, getattr(node, "lineno", 0), f"{before} -> {change}", source)


CHANGING = (ast.Constant, ast.FunctionDef, ast.Attribute, ast.BinOp, ast.Compare)
"""The nodes that `_change` looks at."""


def _change(node: ast.AST, variant: int) -> str:
    """Change a node in place; return what to, or nothing where there is no such variant."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        node.value = _number(node.value, variant)
        return repr(node.value)
    if isinstance(node, ast.FunctionDef) and variant < 2:
        return _without(node, variant)
    if isinstance(node, ast.Attribute) and node.attr in NAMES and not variant:
        node.attr = NAMES[node.attr]
        return node.attr
    return _swap(node) if not variant else ""


def _number(value: float, variant: int) -> float:
    return (value + 1, value * 1.3 if type(value) is float else value + 2, -value, value / 2)[variant]


def _swap(node: ast.AST) -> str:
    """Exchange an operator or a comparison for its opposite."""
    if isinstance(node, ast.BinOp) and (operator := SWAPS.get(type(node.op))) is not None:
        node.op = operator()
        return operator.__name__
    if isinstance(node, ast.Compare) and (comparison := SWAPS.get(type(node.ops[0]))) is not None:
        node.ops[0] = comparison()
        return comparison.__name__
    return ""


def _without(function: ast.FunctionDef, number: int) -> str:
    """Remove a statement that need not be there: an assignment of a name to itself changed, a call, a branch."""
    loose = [s for s in function.body if isinstance(s, ast.If | ast.AugAssign | ast.Expr) and not _is_docstring(s)]
    if number >= len(loose):
        return ""
    removed = copy.deepcopy(loose[number])
    function.body.remove(loose[number])
    return f"without {ast.unparse(removed)}"


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@contextmanager
def loaded(folder: Path, mutant: Mutant | None = None) -> Iterator[models.Model]:
    """Copy the model to a folder, with the change of a mutant, and load it from there."""
    shutil.copytree(ORIGINAL, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if mutant is not None:
        (folder / "mine" / mutant.file).write_text(mutant.source)
    _forget()
    sys.path.insert(0, str(folder))
    try:
        yield models.load(SPEC)
    finally:
        sys.path.remove(str(folder))
        _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def prints(model: models.Model) -> fingerprints.Fingerprints:
    """Return the fingerprints of the layers and of the output."""
    return fingerprints.of_model(model, prepared.example(model), [*LAYERS, ""])


def outputs(model: models.Model, photos: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Return what layers and scores are for photos, one at a time as the model has them."""
    rows: dict[str, list[Tensor]] = {name: [] for name in [*LAYERS, ""]}
    with ExitStack() as stack, torch.no_grad():
        for name in LAYERS:
            stack.callback(model.module.get_submodule(name).register_forward_hook(_keep(rows[name])).remove)
        for photo in photos:
            x = model.preprocess.normalise(torch.from_numpy(np.array(model.preprocess.pixels(photo)))[None])
            rows[""].append(model.logits(model.module(x)))
    return {name: torch.cat(values) for name, values in rows.items()}


def _keep(rows: list[Tensor]) -> Callable[..., None]:
    return lambda module, args, output: rows.append(output.clone())


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a mutant: the layers whose outputs changed, and those of them whose fingerprints did not."""

    mutant: Mutant
    changed: frozenset[str]
    missed: frozenset[str]
    """By what comes out and the trace, without the code."""
    by_trace: frozenset[str]
    """By the trace alone."""
    stale: bool
    """Whether the code is different and the fingerprint of the output, code included, is not."""


def sweep(folder: Path, photos: Sequence[Image.Image], count: int, seed: int = 0) -> Iterator[Trial]:
    """Try the first mutants that run, up to a number."""
    with loaded(folder / "original") as model:
        original = _look(model, photos)
    trials = (_try(folder / str(number), mutant, original, photos) for number, mutant in enumerate(mutants(seed)))
    yield from itertools.islice((trial for trial in trials if trial is not None), count)


_Look = tuple[dict[str, Tensor], fingerprints.Fingerprints, fingerprints.Fingerprints]


def _look(model: models.Model, photos: Sequence[Image.Image]) -> _Look:
    """Return outputs, and fingerprints with the code and without."""
    return outputs(model, photos), prints(model), prints(dataclasses.replace(model, own=False))


def _try(folder: Path, mutant: Mutant, original: _Look, photos: Sequence[Image.Image]) -> Trial | None:
    """Return what became of a mutant; None for one that does not run."""
    try:
        with loaded(folder, mutant) as model:
            now, with_code, alone = _look(model, photos)
    except Exception:
        return None
    moved = changed(original[0], now)
    return Trial(
        mutant=mutant,
        changed=frozenset(moved),
        missed=frozenset(name for name in moved if alone.prints[name] == original[2].prints[name]),
        by_trace=frozenset(name for name in moved if alone.traces[name] == original[2].traces[name]),
        stale=with_code.prints[""] == original[1].prints[""],
    )


def changed(first: dict[str, Tensor], second: dict[str, Tensor]) -> set[str]:
    """Return the layers whose outputs differ by more than rounding."""
    return {name for name, one in first.items() if not _same(one, second[name])}


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)
