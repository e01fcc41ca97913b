"""Pixels through a ring of buffers, on a device that does nothing before somebody waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from atlas import transfers
from flows.stages.shared import uploads

BATCHES = 8
todo: list[Callable[[], object]] = []
"""What the device has been given and not done."""


class Late:
    """A queue of a device as late as it can be."""

    def __init__(self, device: torch.device) -> None:
        self.released = 0

    def wait_for_release(self) -> None:
        do(self.released)

    def copy(self, host: Tensor, there: Tensor) -> None:
        todo.append(lambda: there.copy_(host))

    def release(self) -> None:
        self.released = given()


counted = [0]


def given() -> int:
    """Return how many things the device has been given in all."""
    return counted[0] + len(todo)


def do(until: int) -> None:
    """Let the device do what it was given up to this number."""
    while todo and counted[0] < until:
        todo.pop(0)()
        counted[0] += 1


@pytest.fixture(autouse=True)
def late_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(uploads, "Queue", Late)
    monkeypatch.setattr(transfers, "pinned", lambda shape, dtype: torch.empty(shape, dtype=dtype))
    todo.clear()
    counted[0] = 0
    yield
    todo.clear()


def seen() -> list[int]:
    """Return what the device computes from: the number that fills each batch."""
    batches: Iterator[Any] = (SimpleNamespace(pixels=np.full((2, 4, 4, 3), n, np.uint8)) for n in range(BATCHES))
    read: list[int] = []
    made: list[uploads.Slot] = []

    def make(pixels: Any) -> uploads.Slot:
        made.append(uploads.Slot(pixels, torch.device("cpu")))
        return made[-1]

    for _, pixels in uploads.through(batches, make):
        todo.append(lambda pixels=pixels: read.append(int(pixels.float().mean())))  # type: ignore[misc]
    assert len(made) == uploads.SLOTS
    do(given())
    return read


def test_each_batch_is_computed_from_its_own_pixels() -> None:
    assert seen() == list(range(BATCHES))


@pytest.mark.parametrize("fault", ["no wait", "released early"])
def test_mutant_a_buffer_filled_again_too_early_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "no wait":
        monkeypatch.setattr(Late, "wait_for_release", lambda self: None)
    else:
        monkeypatch.setattr(Late, "release", lambda self: setattr(self, "released", given() - 2))
    assert seen() != list(range(BATCHES))


def test_on_the_cpu_pixels_stay_where_they_are() -> None:
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    ((_, tensor),) = uploads.uploaded(iter([SimpleNamespace(pixels=pixels)]), torch.device("cpu"))  # type: ignore[list-item]
    assert tensor.data_ptr() == pixels.ctypes.data
