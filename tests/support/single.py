"""The net of the small corpus, for float32 alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from support import corpus


def net() -> nn.Module:
    """Return the net with a hook that refuses any other precision."""
    module = corpus.net()
    module.register_forward_pre_hook(_refuse)
    return module


def _refuse(module: nn.Module, args: tuple[Any, ...]) -> None:
    if args[0].dtype is not torch.float32:
        raise TypeError(f"{args[0].dtype} is not supported")
