"""A tiny model, and inputs for it: images, labels, class names and a second version of its weights.

    python tests/support/tiny.py [--images 40]

Writes the inputs into the current folder. This file imports nothing of actlas, so code of any commit can run with it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

LAYERS = ("2", "3.mix", "4")
"""Layers of three kinds: feature maps, tokens and a vector."""

WRITTEN = 946_684_800
"""The modification time of every image: listings hold it."""


class Tokens(nn.Module):
    """Treat the positions of a feature map as tokens, and average them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.mix(self.norm(x.flatten(2).transpose(1, 2)))
        return tokens.relu().mean(1)


def net() -> nn.Module:
    """Return the model with seeded weights; the statistics of its batch norm are not trivial."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    norm.running_mean.uniform_(-0.3, 0.3)
    norm.running_var.uniform_(0.3, 1.5)
    conv = nn.Conv2d(3, 4, 3, stride=4, padding=1, bias=False)
    return nn.Sequential(conv, norm, nn.ReLU6(inplace=True), Tokens(), nn.Linear(5, 4)).eval()


def write(count: int) -> None:
    """Write labelled images in both kinds of file, a table of labels, class names, and weights trained a little further."""
    rng = np.random.default_rng(0)
    for number in range(count):
        label, kind = ("stripes", "waves")[number % 2], ("png", "jpg")[number // 2 % 2]
        height, width, period = (int(n) for n in rng.integers((40, 40, 3), (64, 64, 12)))
        y, x = np.mgrid[:height, :width]
        pattern = 0.5 + 0.5 * np.sin(x / period + y / 9) if label == "waves" else x // period % 2
        path = Path("images", label, f"{number}.{kind}")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pattern[..., None] * rng.integers(40, 255, 3)).astype(np.uint8)).save(path)
        os.utime(path, (WRITTEN, WRITTEN))
    Path("labels.csv").write_text("key,label\nstripes/0.png,first\nwaves/1.png,second\n")
    Path("classes.txt").write_text("one\ntwo\nthree\nfour\n")
    weights = net().state_dict()
    weights["0.weight"] += 0.05 * torch.randn(weights["0.weight"].shape, generator=torch.Generator().manual_seed(1))
    torch.save(weights, "later.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    write(parser.parse_args().images)
