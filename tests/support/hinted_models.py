"""Small models that need an option, by name: a factory each, for `--model support.hinted_models:NAME`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Tokens(nn.Module):
    """Cut a picture of 32 pixels into 16 tokens of 16 units: which axis is which cannot be told."""

    def __init__(self) -> None:
        super().__init__()
        self.cut, self.mix, self.head = nn.Conv2d(3, 16, 8, stride=8), nn.Softmax(-1), nn.Linear(16, 4)
        self.places = nn.Parameter(torch.randn(1, 16, 16))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.mix(self.cut(x).flatten(2).transpose(1, 2) + self.places).mean(1))


class Two(nn.Module):
    """Return an embedding before the class scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.embed, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 6), nn.Linear(6, 4)

    def features(self, x: Tensor) -> Tensor:
        return self.conv(x).relu().mean((2, 3))

    def forward(self, x: Tensor) -> Any:
        embedding = self.embed(self.features(x))
        return embedding, self.head(embedding)


class Dropping(Two):
    """Drop features by chance."""

    def features(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().features(x))


def tokens() -> nn.Module:
    return _seeded(Tokens)


def two() -> nn.Module:
    return _seeded(Two)


def dropping() -> nn.Module:
    return _seeded(Dropping)


def _seeded(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()
