"""Bring batches of pixels to the device: as bytes, from pinned memory, while the batch before is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas import transfers
from storage.images.loader import Batch

SLOTS = 3
"""Batches on their way or in use at once. The host waits for a slot only when it is that many ahead of the device."""


def uploaded(batches: Iterator[Batch], device: torch.device) -> Iterator[tuple[Batch, Tensor]]:
    """Yield each batch with its pixels on the device; they hold until the next batch is asked for."""
    if device.type == "cpu":
        yield from ((batch, torch.from_numpy(batch.pixels)) for batch in batches)
        return
    yield from through(batches, lambda pixels: Slot(pixels, device))


def through(batches: Iterator[Batch], make: Callable[[NDArray[Any]], Slot]) -> Iterator[tuple[Batch, Tensor]]:
    """Yield each batch with its pixels on the device, through a ring of slots."""
    ring: list[Slot] = []
    for number, batch in enumerate(batches):
        if number < SLOTS:
            ring.append(make(batch.pixels))
        slot = ring[number % SLOTS]
        yield batch, slot.send(batch.pixels)
        slot.release()


class Slot:
    """A pinned buffer and one on the device, of one batch; all batches have one size."""

    def __init__(self, like: NDArray[Any], device: torch.device) -> None:
        self._host = transfers.pinned(torch.Size(like.shape), torch.from_numpy(like).dtype)
        self._there = torch.empty_like(self._host, device=device, pin_memory=False)
        self._queue = Queue(device)

    def send(self, pixels: NDArray[Any]) -> Tensor:
        """Return the pixels on the device, where all that is computed from now on finds them."""
        self._queue.wait_for_release()
        np.copyto(transfers.array(self._host), pixels)
        self._queue.copy(self._host, self._there)
        return self._there

    def release(self) -> None:
        """Tell that everything that reads the pixels has been given to the device."""
        self._queue.release()


class Queue:
    """The device's own queue of copies, in step with that of computations."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies = _stream_of_copies(device)
        self._released: Any = None

    def wait_for_release(self) -> None:
        """Wait until the device has read the buffer's last content."""
        if self._released is not None:
            self._released.synchronize()

    def copy(self, host: Tensor, there: Tensor) -> None:
        """Copy beside the computations that are under way; those to come wait for it on the device."""
        computing = torch.cuda.current_stream(self._device)
        if self._released is None:
            self._copies.wait_stream(computing)  # memory just allocated may still be read by what had it before
        with torch.cuda.stream(self._copies):
            there.copy_(host, non_blocking=True)
        computing.wait_stream(self._copies)

    def release(self) -> None:
        self._released = transfers.event(self._device)


_STREAMS: dict[torch.device, Any] = {}


def _stream_of_copies(device: torch.device) -> Any:
    """Return the stream of copies of a device: one a process."""
    if device not in _STREAMS:
        _STREAMS[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return _STREAMS[device]
