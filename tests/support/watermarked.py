"""Photos of coloured squares, of which some of one class bear a watermark, and a network whose head is trained on them.

The units of `relu` are known: one for each class's colour, one for the watermark, and random ones. Folders and sizes are
drawn at random, so that they say nothing about the classes or the units.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from storage.models import Model, Preprocess

CLASSES = ("red", "green", "blue", "yellow")
COLOURS = ((225, 40, 40), (40, 200, 40), (50, 60, 230), (220, 210, 40))
SIDE, SQUARE, MARK, RANDOM = 40, 12, 8, 7
WATERMARK, UNITS = len(CLASSES), len(CLASSES) + 1 + RANDOM
"""The unit of the watermark, and how many units there are."""


def mark() -> np.ndarray:
    """Return the watermark, `MARK MARK`, of −1 and 1."""
    rng = np.random.default_rng(5)
    return np.where(rng.permutation(MARK * MARK).reshape(MARK, MARK) % 2 == 0, 1.0, -1.0)


class Watermarked(nn.Module):
    """Fixed detectors, rectified; the mean of each goes to a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = (
            nn.Conv2d(3, UNITS, MARK, padding=MARK // 2),
            nn.ReLU(),
            nn.Linear(UNITS, len(CLASSES)),
        )
        with torch.no_grad():
            self.conv.weight.copy_(_kernels())
            self.conv.bias.fill_(-0.35)
            self.conv.bias[WATERMARK], self.conv.bias[WATERMARK + 1 :] = -10, -0.05
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """Return what the head reads, `b u`."""
        return 50 * self.relu(self.conv(images)).mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def _kernels() -> Tensor:
    area = MARK * MARK
    kernels = torch.randn(UNITS, 3, MARK, MARK, generator=torch.Generator().manual_seed(3)) / area / 3
    for number, colour in enumerate(COLOURS):
        direction = torch.tensor(colour) - torch.tensor(colour, dtype=torch.float32).mean()
        kernels[number] = (direction / direction.norm() / area)[:, None, None]
    kernels[WATERMARK] = 20 * torch.from_numpy(mark()).float() / area / 3
    return kernels


def net() -> Model:
    """Return the network with an untrained head; its weights come from `train`."""
    preprocess = Preprocess(resize=None, crop=(SIDE, SIDE), mean=(0.5,) * 3, std=(0.25,) * 3)
    return Model(module=Watermarked(), preprocess=preprocess, classes=CLASSES)


def write_images(folder: Path, count: int, share: float, seed: int) -> Path:
    """Write `count` images of each class, the watermark on a share of the first one's; a name that has it ends in `m`."""
    rng = np.random.default_rng(seed)
    for number, (label, colour) in enumerate(zip(CLASSES, COLOURS, strict=True)):
        for image in range(count):
            marked = number == 0 and image < round(share * count)
            place = folder / label / f"source{rng.integers(3)}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_picture(rng, colour, marked)).save(place / f"{image:03d}{'m' if marked else ''}.png")
    return folder


def _picture(rng: np.random.Generator, colour: tuple[int, int, int], marked: bool) -> np.ndarray:
    """Return one square of a colour on noise, of a random size and shape."""
    height, width = SIDE + 2 * rng.integers(0, 3, 2) * rng.integers(0, 2)
    coarse = rng.normal(110, 30, (-(-height // 5), -(-width // 5), 3)).repeat(5, axis=0).repeat(5, axis=1)
    pixels = coarse[:height, :width] + rng.normal(0, 10, (height, width, 3))
    top, left = rng.integers(4, SIDE - SQUARE - 12, 2)
    strength = rng.uniform(0.3, 1.0)
    down, across = rng.integers(SQUARE - 3, SQUARE + 4, 2)
    square = pixels[top : top + down, left : left + across]
    square += strength * (np.array(colour) - square)
    if marked:
        down, across = (height - SIDE) // 2 + SIDE - MARK - 5, (width - SIDE) // 2 + SIDE - MARK - 5
        pixels[down : down + MARK, across : across + MARK] = 127 + 90 * mark()[..., None]
    return pixels.clip(0, 255).astype(np.uint8)


def train(folder: Path, out: Path) -> Path:
    """Train the head on all images of a folder by logistic regression, and write the weights."""
    model = net()
    files = sorted(folder.rglob("*.png"))
    pixels = np.stack([model.preprocess.pixels(Image.open(file)) for file in files])
    labels = torch.tensor([CLASSES.index(file.relative_to(folder).parts[0]) for file in files])
    module = model.module
    with torch.no_grad():
        features = module.features(model.preprocess.normalise(torch.from_numpy(pixels)))
    optimiser = torch.optim.LBFGS(module.head.parameters(), max_iter=60)

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = nn.functional.cross_entropy(module.head(features), labels)
        value = value + 1e-3 * module.head.weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)
    torch.save(module.state_dict(), out)
    return out
