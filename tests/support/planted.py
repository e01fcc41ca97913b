"""A network whose connections are known: each unit of the second layer is driven by stated units of the first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

UNITS, LATER = 6, 5
CONNECTIONS = {0: ({3: 2.0}, {1: -1.0}), 2: ({0: 1.5, 4: 0.5}, {}), 4: ({}, {2: -2.0}), 5: ({1: 1.0}, {3: -0.5})}
"""Unit → (later units excited, later units inhibited), with the weight at the centre of the kernel."""


class Planted(nn.Module):
    """Random detectors, rectified; then a convolution that is zero but for CONNECTIONS; then four classes."""

    def __init__(self, shuffled: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.first, self.second = nn.Conv2d(3, UNITS, 3, padding=1), nn.Conv2d(UNITS, LATER, 3, padding=1)
        self.head = nn.Linear(LATER, 4)
        with torch.no_grad():
            for layer in (self.first, self.head):
                for parameter in layer.parameters():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
            self.second.weight.zero_()
            self.second.bias.fill_(0.1)
            for unit, sides in CONNECTIONS.items():
                for later, weight in [pair for side in sides for pair in side.items()]:
                    self.second.weight[later, unit, 1, 1] = weight
            if shuffled:
                flat = self.second.weight.flatten()
                order = torch.randperm(len(flat), generator=generator)
                self.second.weight.copy_(flat[order].view_as(self.second.weight))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.second(self.first(images).relu()).mean((2, 3)))


def net() -> nn.Module:
    return Planted().eval()


def shuffled() -> nn.Module:
    return Planted(shuffled=True).eval()
