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
    tried: list[int] = []
    made = reductions()
    assert collect._through(device(holds, tried), batch(), made, 8) == effective
    for name in ("a", "b"):
        part = made[name].finish()
        assert part.top["positive"].image_id.tolist() == [[7, 6, 5, 4]] * 3
        # What was counted before memory ran out is not counted again.
        assert part.nonfinite.tolist() == [0, 1, 0]


def test_one_image_that_does_not_fit_fails_the_attempt() -> None:
    tried: list[int] = []
    with pytest.raises(torch.OutOfMemoryError):
        collect._through(device(0, tried), batch(), reductions(), 8)
    assert tried == [8, 4, 2, 1]
