"""A small corpus and a small model that tests run the whole pipeline on: seconds, not minutes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from atlas.inversion import recipes
from flows.config import RunConfig

LAYERS = ("features.2", "features.5")

# What is tested on this corpus is how icons travel, not how good they are: three steps do.
recipes.ICON_RECIPES["fast"] = dataclasses.replace(recipes.FAST, steps=3)
recipes.PICTURE_RECIPES["fast"] = dataclasses.replace(recipes.PICTURE_RECIPES["fast"], steps=3)


def write_images(folder: Path, count: int = 60, seed: int = 0) -> Path:
    """Write images of stripes, checks and noise in three labelled sub-folders, of several sizes."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        label = ("stripes", "checks", "noise")[number % 3]
        height, width = int(rng.integers(40, 90)), int(rng.integers(40, 90))
        y, x = np.mgrid[:height, :width]
        period = int(rng.integers(3, 12))
        pattern = {
            "stripes": (x // period) % 2,
            "checks": (x // period + y // period) % 2,
            "noise": rng.random((height, width)),
        }
        colour = rng.integers(40, 255, 3)
        pixels = (pattern[label][..., None] * colour).astype(np.uint8)
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / label / f"{number:04d}.png")
    return folder


def net() -> nn.Module:
    """Return a seeded convolutional net with batch norm whose statistics are not trivial."""
    torch.manual_seed(0)
    module = nn.Sequential()
    module.features = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU6(inplace=True),
    )
    module.pool, module.flatten, module.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.3, 0.3)
            layer.running_var.uniform_(0.3, 1.5)
    return module.eval()


def config(images: Path, store: Path, **changes: object) -> RunConfig:
    """Return a configuration that runs in seconds."""
    settings: dict[str, object] = {
        "images": str(images),
        "store": str(store),
        "name": "small",
        "model": "support.corpus:net",
        "input_size": 32,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "layers": LAYERS,
        "shard_size": 16,
        "batch": 8,
        "samples_per_image": 2,
        "layout": "pca",
        "grids": (4,),
        "min_count": 2,
        "recipe": "fast",
        "icon_size": 24,
        "icon_tries": 1,
    }
    return RunConfig(**(settings | changes))
