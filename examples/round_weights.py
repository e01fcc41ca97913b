"""Write the weights of the default model with its kernels rounded to a few bits: an update of the model, to compare with.

python examples/round_weights.py OUT.pt [--bits 5]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from storage import models

KERNEL = 4
"""The dimensions of a convolution's weights."""


def rounded(weight: Tensor, bits: int) -> Tensor:
    """Round a kernel to 2 ** bits - 1 levels for each output channel, symmetric about zero."""
    levels = 2 ** (bits - 1) - 1
    step = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny) / levels
    return (weight / step).round() * step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bits", type=int, default=5)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    state = models.load("efficientnet-lite0").module.state_dict()
    torch.save(
        {name: rounded(value, args.bits) if value.ndim == KERNEL else value for name, value in state.items()}, args.out
    )


if __name__ == "__main__":
    main()
