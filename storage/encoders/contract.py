"""What an encoder is: a value that turns images, and texts where it can, into vectors of length 1."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn


class Encoder(Protocol):
    """Images and texts to vectors. `name` and `weights` enter keys and every answer: never compare across encoders.

    `weights` are 16 hex digits of the weights, `side` the pixels of the square that it takes.
    """

    name: str
    weights: str
    side: int

    def images(self, pixels: Tensor) -> Tensor:
        """Return unit vectors `b d` of images, uint8 `b h w c` of the encoder's side."""

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors `n d` of texts. Raises UsageError where the encoder has none."""


def digest(*modules: nn.Module, also: str = "") -> str:
    """Return 16 hex digits of modules' tensors and names, and of a text."""
    hashed = hashlib.sha256(also.encode())
    for module in modules:
        for name, tensor in module.state_dict().items():
            hashed.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            hashed.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()[:16]


def unit(vectors: Tensor) -> Tensor:
    """Scale vectors to length 1; zero stays zero."""
    lengths: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / lengths.clamp_min(1e-12)
