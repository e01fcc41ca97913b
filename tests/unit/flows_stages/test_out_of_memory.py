"""A device with too little memory: the batch is halved, the result is the same, and there is an end to it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from atlas.arrays import Layer
from atlas.collect import LayerReduction
from flows.stages import collect

IDS = np.arange(8, dtype=np.int64)
DATA = torch.arange(8 * 3 * 2 * 2, dtype=torch.float32).reshape(8, 3, 2, 2)
DATA[2, 1, 0, 0] = torch.nan


def device(holds: int, tried: list[int]) -> Any:
    """A subject that runs out of memory for more than `holds` images at a time, after the first layer was visited."""

    def visit(pixels: torch.Tensor, names: list[str], show: Callable[[str, torch.Tensor], None]) -> None:
        tried.append(len(pixels))
        show("a", DATA[pixels[:, 0].long()])
        if len(pixels) > holds:
            raise torch.OutOfMemoryError("planned")
        show("b", DATA[pixels[:, 0].long()])

    return SimpleNamespace(visit=visit)


def reductions() -> dict[str, LayerReduction]:
    layer = Layer(name="l", units=3, height=2, width=2)
    return {name: LayerReduction(layer, IDS, IDS.astype(np.uint64), seed=0, capacity=4) for name in ("a", "b")}


def batch() -> Any:
    pixels = np.arange(8, dtype=np.uint8)[:, None]
    return SimpleNamespace(first=0, pixels=pixels, valid=np.ones(8, bool))


@pytest.mark.parametrize(("holds", "effective"), [(8, 8), (7, 4), (3, 2), (1, 1)])
def test_the_batch_is_halved_until_it_fits(holds: int, effective: int) -> None:
    assert unlike_a_large_device(holds, effective) == set()


def unlike_a_large_device(holds: int, effective: int) -> set[str]:
    """Run out of memory; name what is not as where there is enough."""
    made = reductions()
    wrong = {"batch"} if collect._run_batch(device(holds, []), batch(), made, 8) != effective else set()
    for name in ("a", "b"):
        part = made[name].finish()
        if part.top["positive"].image_id.tolist() != [[7, 6, 5, 4]] * 3:
            wrong.add("patches")
        # What was counted before memory ran out is not counted again.
        if part.nonfinite.tolist() != [0, 1, 0]:
            wrong.add("counts")
    return wrong


def test_mutant_a_batch_that_is_counted_again_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    add = LayerReduction._add_nonfinite

    def again(self: LayerReduction, *given: Any) -> None:
        kept, self._nonfinite = self._nonfinite, {}
        add(self, *given)
        self.nonfinite += sum(kept.values(), np.zeros_like(self.nonfinite))

    monkeypatch.setattr(LayerReduction, "_add_nonfinite", again)
    assert unlike_a_large_device(7, 4) == {"counts"}
    assert unlike_a_large_device(8, 8) == set()


def test_mutant_pieces_put_at_the_first_ones_place_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    add = LayerReduction.add
    monkeypatch.setattr(LayerReduction, "add", lambda self, first, maps, valid: add(self, 0, maps, valid))
    assert "patches" in unlike_a_large_device(3, 2)


def test_mutant_a_batch_quartered_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = collect._try_batch
    monkeypatch.setattr(collect, "_try_batch", lambda *given: fits(*given[:3], max(1, given[3] // 2)))
    assert "batch" in unlike_a_large_device(3, 2)


def test_one_image_that_does_not_fit_fails_the_attempt() -> None:
    tried: list[int] = []
    with pytest.raises(torch.OutOfMemoryError):
        collect._run_batch(device(0, tried), batch(), reductions(), 8)
    assert tried == [8, 4, 2, 1]
