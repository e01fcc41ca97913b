"""The small net of the corpus, as slow as a large one: so that something can happen in the middle of a task."""

from __future__ import annotations

import time

import torch
from torch import nn

from support import corpus


class Slowly(nn.Module):
    """Pass on what comes, a tenth of a second later."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.1)
        return x


def net() -> nn.Module:
    module = corpus.net()
    module.features.insert(0, Slowly())
    return module
