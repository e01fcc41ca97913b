"""Trace a pass of a model on a CPU as one graph, fused, that shows each layer's activations as soon as they are there.

A trace is made of one size of batch, without computing anything. What it does not see, it repeats: a choice that depends
on values raises instead. So a trace has to be compared with the model on some batches; see `flows.model.fused_pass`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from atlas.model.activations import Visit
from atlas.model.bounds import add_checks
from atlas.model.fusing import IN_PLACE, RECTIFIERS, convolve_clamped, merge_borders, merge_rectifiers

Traced = Callable[[Tensor, Visit], Any]
"""Runs over a batch, visits the layers, and returns what the traced pass returned: a tensor or None."""


class UntraceableError(Exception):
    """A pass can't be traced, or there is nothing in it to fuse."""


class Recorded(Protocol):
    """A folded model, as `atlas.model.folding` makes it."""

    @property
    def module(self) -> nn.Module: ...
    @property
    def unfolded(self) -> Mapping[str, nn.Module]: ...


def trace(run: Traced, batch: Tensor) -> Traced:
    """Return the fused trace of `run` for batches like this one `b c h w`.

    The trace raises LargeValuesError, after some visits, where it may not give what the model gives. Raises
    UntraceableError.
    """
    names: list[str] = []

    def program(pictures: Tensor) -> list[Tensor]:
        shown: list[Tensor] = []

        def mark(name: str, activation: Tensor) -> None:
            names.append(name)
            shown.append(torch.ops.aten.alias.default(activation))

        result = run(pictures, mark)
        return shown if result is None else [*shown, result]

    try:
        with torch.no_grad():
            like = torch.empty_like(batch)
            traced = make_fx(program, tracing_mode="fake", _allow_non_fake_inputs=True)(like)
        if not _fuse(traced.graph):
            raise UntraceableError("nothing to fuse")
        add_checks(traced)
    except UntraceableError:
        raise
    except Exception as error:  # control flow on values, an operator without shapes, weights that overflow
        raise UntraceableError(f"{type(error).__name__}: {error}".split("\n")[0][:200]) from error
    _visit_at_once(traced.graph, names)
    traced.recompile()
    return traced


def sharing_weights(model: Any) -> Any:
    """Return a copy of a model that shares its weights, for tracing: a module may keep what it computes on the way."""
    parts: list[nn.Module] = [model.module, *model.unfolded.values()]
    weights = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in weights})


def _fuse(graph: fx.Graph) -> int:
    return merge_borders(graph) + merge_rectifiers(graph, convolve_clamped, {**RECTIFIERS, **IN_PLACE})


def _visit_at_once(graph: fx.Graph, names: list[str]) -> None:
    """Visit each marked activation at its place in the graph; return only what comes after them, the pass's result."""
    (output,) = graph.find_nodes(op="output")
    first = graph.find_nodes(op="placeholder")[0]
    with graph.inserting_after(first):
        visit = graph.placeholder("visit")
    marked, rest = output.args[0][: len(names)], output.args[0][len(names) :]
    for name, node in zip(names, marked, strict=True):
        with graph.inserting_after(node):
            graph.call_function(_show, (visit, name, node))
    output.args = (rest[0] if rest else None,)


def _show(visit: Visit, name: str, activation: Tensor) -> None:
    visit(name, activation)
