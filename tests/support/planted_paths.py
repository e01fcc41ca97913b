"""A net in which each class reads one unit alone, so that what an ablation must do is known."""

from __future__ import annotations

import torch
from torch import nn

UNITS = 6


class Paths(nn.Module):
    """`layer` gives units ≥ 0; class k's score is k + 1 times the mean of unit k, in a shortcut around an identity."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.relu, self.layer = nn.Conv2d(3, UNITS, 5, stride=4), nn.ReLU(), nn.Identity()
        nn.init.uniform_(self.conv.bias, 0.1, 0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.relu(self.conv(x))).mean((2, 3)) * torch.arange(1, UNITS + 1)


class Shortcut(Paths):
    """The same, with the units before the identity added once more."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.relu(self.conv(x))
        return (self.layer(before) + before).mean((2, 3)) * torch.arange(1, UNITS + 1)


class Attentive(Paths):
    """The same behind an input that is changed in place, and read through attention over the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.TransformerEncoderLayer(UNITS, 2, 12, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.mul_(0.5).add_(0.25)
        return self.mix(self.layer(self.relu(self.conv(x))).flatten(2).transpose(1, 2)).mean(1)


def attentive() -> nn.Module:
    return Attentive().eval()


def paths() -> nn.Module:
    return Paths().eval()


def shortcut() -> nn.Module:
    return Shortcut().eval()
