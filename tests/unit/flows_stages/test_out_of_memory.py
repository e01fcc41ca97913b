"""A device with too little memory: the batch is halved, the result is the same, and there is an end to it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from atlas.arrays import SIGNS, Layer
from atlas.collect import LayerReduction
from atlas.running_topk import RunningTopK
from atlas.transfers import Delivery
from flows.stages import collect

IDS = np.arange(8, dtype=np.int64)
DATA = torch.arange(8 * 3 * 2 * 2, dtype=torch.float32).reshape(8, 3, 2, 2)
DATA[2, 1, 0, 0] = torch.nan
PIXELS = torch.arange(8, dtype=torch.uint8)[:, None]


def device(holds: int, tried: list[int]) -> Any:
    """A subject that runs out of memory for more than `holds` images at a time, after the first layer was visited."""

    def run(pixels: torch.Tensor, show: Callable[[str, torch.Tensor], None]) -> None:
        tried.append(len(pixels))
        show("a", DATA[pixels[:, 0].long()])
        if len(pixels) > holds:
            raise torch.OutOfMemoryError("planned")
        show("b", DATA[pixels[:, 0].long()])

    return SimpleNamespace(run=run)


def reductions() -> collect.Reductions:
    layer = Layer(name="l", units=3, height=2, width=2)
    layers = {name: LayerReduction(layer, IDS, IDS.astype(np.uint64), seed=0, capacity=4) for name in ("a", "b")}
    return collect.Reductions(layers=layers, choices=None)


def batch() -> Any:
    return SimpleNamespace(first=0, valid=np.ones(8, bool))


@pytest.mark.parametrize(("holds", "effective"), [(8, 8), (7, 4), (3, 2), (1, 1)])
def test_the_batch_is_halved_until_it_fits(holds: int, effective: int) -> None:
    assert unlike_a_large_device(holds, effective) == set()


def unlike_a_large_device(holds: int, effective: int) -> set[str]:
    """Run out of memory; name what is not as where there is enough."""
    made = reductions()
    wrong = {"batch"} if collect._run_batch(device(holds, []), batch(), PIXELS, made, 8) != effective else set()
    for name in ("a", "b"):
        part = made.layers[name].finish()
        if part.top["positive"].image_id.tolist() != [[7, 6, 5, 4]] * 3:
            wrong.add("patches")
        # What was counted before memory ran out is not counted again.
        if part.nonfinite.tolist() != [0, 1, 0]:
            wrong.add("counts")
    return wrong


def test_mutant_a_batch_that_is_counted_again_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    add = LayerReduction._add_nonfinite

    def again(self: LayerReduction, rows: slice, flat: torch.Tensor) -> None:
        before = self._buffer.wrong.clone()
        add(self, rows, flat)
        self._nonfinite += before.sum(dim=0)

    monkeypatch.setattr(LayerReduction, "_add_nonfinite", again)
    assert unlike_a_large_device(7, 4) == {"counts"}
    assert unlike_a_large_device(8, 8) == set()


def test_mutant_pieces_put_at_the_first_ones_place_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    add = LayerReduction.add
    monkeypatch.setattr(LayerReduction, "add", lambda self, first, maps, valid: add(self, 0, maps, valid))
    assert "patches" in unlike_a_large_device(3, 2)


def test_mutant_a_batch_quartered_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = collect._try_batch
    monkeypatch.setattr(collect, "_try_batch", lambda *given: fits(*given[:4], max(1, given[4] // 2)))
    assert "batch" in unlike_a_large_device(3, 2)


def folded(missing: str = "") -> list[Any]:
    """Return what a reduction finds; memory runs out once between two blocks, in the call of this name."""
    layer = Layer(name="l", units=3, height=2, width=2)
    made = LayerReduction(layer, IDS, IDS.astype(np.uint64), seed=0, capacity=4, block=4, keep_peaks=True)
    made.add(0, DATA[:4], np.ones(4, bool))
    if missing:
        with pytest.MonkeyPatch.context() as patch:
            run_out(patch, missing)
            with pytest.raises(torch.OutOfMemoryError):
                made.add(4, DATA[4:], np.ones(4, bool))
    made.add(4, DATA[4:], np.ones(4, bool))
    part = made.finish()
    assert part.peaks is not None
    best = [part.top[sign].image_id.tolist() for sign in SIGNS] + [part.extreme_count[sign].tolist() for sign in SIGNS]
    return [*best, part.nonfinite.tolist(), part.samples.activations.tolist(), str(part.peaks.value.tolist())]


def run_out(patch: pytest.MonkeyPatch, name: str) -> None:
    """Leave no memory for sending a block, or for the second of its two merges."""
    owner: Any = {"merge": RunningTopK, "send": Delivery}[name]
    function, calls = getattr(owner, name), iter([name == "send", True])

    def short(*given: Any) -> Any:
        if next(calls):
            raise torch.OutOfMemoryError("planned")
        return function(*given)

    patch.setattr(owner, name, short)


@pytest.mark.parametrize("call", ["merge", "send"])
def test_memory_that_runs_out_between_two_blocks_counts_nothing_twice(call: str) -> None:
    assert folded(call) == folded()


def test_mutant_a_block_merged_by_halves_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = LayerReduction._fold

    def hasty(self: LayerReduction) -> None:
        used = torch.from_numpy(self.used[self._start : self._start + 4])
        value = torch.where(used[:, None, None], self._buffer.value[0, :4], torch.nan)
        order = self._order[self._start : self._start + 4]
        self._top["positive"] = RunningTopK.merge(self._top["positive"], value, self._buffer.place[0, :4], order)
        fold(self)

    monkeypatch.setattr(LayerReduction, "_fold", hasty)
    whole = folded()
    assert whole[0] != [[7, 6, 5, 4]] * 3


def test_one_image_that_does_not_fit_fails_the_attempt() -> None:
    tried: list[int] = []
    with pytest.raises(torch.OutOfMemoryError):
        collect._run_batch(device(0, tried), batch(), PIXELS, reductions(), 8)
    assert tried == [8, 4, 2, 1]
