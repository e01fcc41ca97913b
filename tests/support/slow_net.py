"""The small net of the corpus, as slow as a large one: so that something can happen in the middle of a task."""

from __future__ import annotations

import os
import time

import torch
from torch import nn

from support import corpus

SECONDS = "SLOW_NET_SECONDS"
"""Environment variable: how long a batch takes. It is no part of the model, so that keys don't depend on it."""


class Slowly(nn.Module):
    """Pass on what comes, after a while."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(float(os.environ.get(SECONDS, "0.1")))
        return x


def net() -> nn.Module:
    module = corpus.net()
    module.features.insert(0, Slowly())
    return module
