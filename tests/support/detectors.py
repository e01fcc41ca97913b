"""A network of known detectors, and photos of what they detect: coloured squares on grey, in folders named by colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

COLOURS = ("red", "green")
UNITS = ("red", "green", "also red", "also green")
"""What each unit of `relu` detects; the last two by kernels that are wider."""
SIDE, SQUARE = 32, 12


class Detectors(nn.Module):
    """Convolutions that subtract the other colours, rectified; a linear head that adds up each colour's detectors."""

    def __init__(self, shuffled: bool = False) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, len(UNITS), 5, padding=2), nn.ReLU(), nn.Linear(len(UNITS), 2)
        with torch.no_grad():
            self.conv.bias.fill_(-0.5)
            self.conv.weight.copy_(torch.stack([_kernel(number) for number in range(len(UNITS))]))
            self.head.bias.zero_()
            self.head.weight.copy_(torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]]))
            if shuffled:
                generator = torch.Generator().manual_seed(1)
                for weight in (self.conv.weight, self.head.weight):
                    order = torch.randperm(weight.numel(), generator=generator)
                    weight.copy_(weight.flatten()[order].view_as(weight))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(images)).mean((2, 3)))


def _kernel(unit: int) -> Tensor:
    distance = torch.stack(torch.meshgrid(torch.arange(5) - 2.0, torch.arange(5) - 2.0, indexing="ij")).square().sum(0)
    shape = torch.exp(-distance / (6.0 if unit > 1 else 2.0))
    mine = torch.full((3,), -0.6)
    mine[unit % 2] = 1.0
    return mine[:, None, None] * shape / shape.sum()


def net() -> nn.Module:
    return Detectors()


def shuffled() -> nn.Module:
    return Detectors(shuffled=True)


def write_images(folder: Path, count: int = 60, seed: int = 0) -> Path:
    """Write images with one square each; a file's name ends in the square's middle, `y` and `x`."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        colour = number % 2
        pixels = rng.normal(110, 12, (SIDE, SIDE, 3))
        top, left = rng.integers(0, SIDE - SQUARE, 2)
        square = np.full(3, 40.0)
        square[colour] = rng.uniform(170, 250)
        pixels[top : top + SQUARE, left : left + SQUARE] = square
        (folder / COLOURS[colour]).mkdir(parents=True, exist_ok=True)
        name = f"{number:03d}_{top + SQUARE // 2}_{left + SQUARE // 2}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / COLOURS[colour] / name)
    return folder
