"""A net that gives values which are not finite: at some positions of one layer, everywhere in another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SOME, ALL = "some", "all"


class Some(nn.Module):
    """The logarithm of the input's brightness: NaN where that is below the mean of training."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True).log().repeat(1, 3, 1, 1) + torch.arange(3).view(1, 3, 1, 1)


class All(nn.Module):
    """Infinite everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs() + torch.inf


class Net(nn.Module):
    """Both layers beside a path that is whole."""

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.some, self.all = nn.AvgPool2d(4), Some(), All()
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.whole(x)
        bad = self.some(x).nan_to_num(0, 0, 0) + self.all(x).nan_to_num(0, 0, 0)
        scores: Tensor = self.head((x + 0 * bad).mean((2, 3)))
        return scores


def net() -> nn.Module:
    """Return the net, seeded."""
    torch.manual_seed(0)
    return Net().eval()
