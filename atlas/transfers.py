"""Copy results from the device to the host without stopping either: a copy is waited for when the next one is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Take = Callable[[NDArray[Any]], None]


class Delivery:
    """Hands tensors over as arrays, to be read at once: the last one when the next is sent, or at the end."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sent: list[tuple[Tensor, Any, Take]] = []

    def send(self, *parcels: tuple[Tensor, Take]) -> None:
        """Start to copy these, and hand over those before. On the CPU hand them over now."""
        if self._device.type == "cpu":
            for tensor, take in parcels:
                take(array(tensor))
            return
        arriving = [
            (pinned(tensor.shape, tensor.dtype).copy_(tensor, non_blocking=True), take) for tensor, take in parcels
        ]
        arrived = event(self._device)
        self.finish()
        self._sent = [(tensor, arrived, take) for tensor, take in arriving]

    def finish(self) -> None:
        """Hand over what has been sent."""
        for tensor, arrived, take in self._sent:
            arrived.synchronize()
            take(array(tensor))
        self._sent = []


def upload(values: NDArray[Any], device: torch.device) -> Tensor:
    """Return a small array on the device, without waiting for what the device is doing."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device, non_blocking=True)


def pinned(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Return host memory that a device copies to and from by itself."""
    return torch.empty(shape, dtype=dtype, pin_memory=True)


def event(device: torch.device) -> Any:
    """Return a mark in the device's queue behind all that was given to it."""
    return torch.cuda.current_stream(device).record_event()


def array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor of the host as an array on the same memory."""
    read: NDArray[Any] = tensor.numpy()
    return read
