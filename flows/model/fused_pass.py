"""The pass of collect: eager at first, and on a CPU by a fused trace once that pays and gives the same bits.

A process traces once for the layers of its shards. The trace is taken where two batches give the same bits by both ways; else,
and where a value is too large for it, the pass stays eager. So no result depends on the way.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from atlas.model import fusing
from atlas.model.bounds import LargeValuesError
from flows.model.prepared import PreparedModel

if TYPE_CHECKING:
    from atlas.model.traced import Traced

WORTH = 512
"""Images of a process from which on it traces: tracing and comparing cost what some 400 images gain."""
PROOFS = 2
"""Batches that are run both ways before the trace is taken."""

Visit = Callable[[str, Tensor], None]


class Pass:
    """Runs a prepared model over batches, up to the last of some layers or (`scored`) to the class scores."""

    def __init__(self, model: PreparedModel, names: Sequence[str], *, scored: bool, batch: int) -> None:
        self._model, self._names, self._scored, self._batch = model, list(names), scored, batch
        self._images = 0
        self._trace: Traced | None = None
        self._proofs = 0
        self._why = "varies" if model.varying else ""

    @property
    def way(self) -> str:
        """How the batches run, for the record of what happened."""
        if self._why:
            return f"eager: {self._why}"
        return "fused" if self._proofs == PROOFS else "eager: few images"

    def expect(self, images: int) -> None:
        """Tell how many images come."""
        self._images += images

    def try_whole(self, pixels: Tensor) -> None:
        """Run the whole model. Raises VaryingLayerError for a layer of the pass that is called again after the last of them."""
        self._model.try_whole(pixels, self._names)

    def run(self, pixels: Tensor, visit: Visit) -> Tensor | None:
        """Run over decoded pixels `b h w c`, visiting each layer's activations `b c h w`; return the scores if wanted.

        A layer may be visited twice for one batch; the second time counts.
        """
        shown = self._model.input(pixels)
        if not fusing.can_fuse(shown):
            self._why = "not float32 on a CPU"
        if self._why or self._images < WORTH or len(shown) != self._batch:
            return self._eager(shown, visit)
        if self._trace is None or self._proofs < PROOFS:
            return self._compare(shown, visit)
        return self._fused(self._trace, shown, visit)

    def _eager(self, shown: Tensor, visit: Visit) -> Tensor | None:
        with torch.inference_mode():
            return self._model.run(shown, self._names, visit, scored=self._scored)

    def _fused(self, trace: Traced, shown: Tensor, visit: Visit) -> Tensor | None:
        try:
            with torch.inference_mode():
                scores: Tensor | None = trace(shown, visit)
                return scores
        except LargeValuesError as error:
            self._give_up(str(error))
            return self._eager(shown, visit)

    def _compare(self, shown: Tensor, visit: Visit) -> Tensor | None:
        """Run both ways. The eager way comes first: what a model computes once and keeps is then there when it is traced."""
        here, there, started = _Digest(), _Digest(), time.thread_time()
        scores = self._eager(shown, here.beside(visit))
        here.add("", scores)
        eager = time.thread_time() - started
        try:
            with torch.inference_mode(False):
                trace = self._trace = self._trace or self._traced(shown)
            started = time.thread_time()
            with torch.inference_mode():
                there.add("", trace(shown, there.add))
        except Exception as error:  # whatever the trace does that the model does not
            self._give_up(str(error))
            return scores
        self._proofs += 1
        if here.of != there.of:
            self._give_up("the trace gives other numbers")
        elif self._proofs == PROOFS and time.thread_time() - started > eager:
            self._give_up("the trace is no faster")
        return scores

    def _traced(self, shown: Tensor) -> Traced:
        from atlas.model import traced  # tracing takes imports of half a second

        target = traced.sharing_weights(self._model.folded)
        run = functools.partial(self._model.run, names=self._names, scored=self._scored, target=target)
        return traced.trace(lambda pictures, visit: run(pictures, visit=visit), shown)

    def _give_up(self, why: str) -> None:
        self._trace, self._why = None, why.split("\n")[0]


def of(model: PreparedModel, names: Iterable[str], *, scored: bool, batch: int) -> Pass:
    """Return the process's pass up to these layers; only the last one asked for is kept."""
    request = (tuple(names), scored, batch, torch.get_num_threads())
    if model.kept.get("pass", (None,))[0] != request:
        model.kept["pass"] = (request, Pass(model, request[0], scored=scored, batch=batch))
    kept: Pass = model.kept["pass"][1]
    return kept


class _Digest:
    """Digests of the bits of activations by layer, in the order in which they come."""

    def __init__(self) -> None:
        self.of: list[tuple[str, str]] = []

    def add(self, name: str, values: Tensor | None) -> None:
        if values is None:
            return
        axes = (0, 2, 3, 1) if values.ndim == 4 else tuple(range(values.ndim))
        bits = values.permute(axes).contiguous().view(torch.uint8)  # channels last, as they mostly are in memory
        self.of.append((name, hashlib.sha256(bits.numpy().data).hexdigest()))

    def beside(self, visit: Visit) -> Visit:
        def both(name: str, activation: Tensor) -> None:
            self.add(name, activation)
            visit(name, activation)

        return both
