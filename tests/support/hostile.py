"""Names that run a script where they are taken for markup: of layers, classes, images and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from support import corpus

NAME = "<img src=x onerror=hacked()>"
"""A name that runs a script where it is taken for markup."""

PAYLOADS = (
    "<script>hacked()</script>",
    "<img src=x onerror=hacked()>",
    "<svg onload=hacked()>",
    '"><script>hacked()</script>',
    "'-hacked()-'",
    "javascript:hacked()",
    "</title><script>hacked()</script>",
    "{{constructor.constructor('hacked()')()}}",
    "<iframe srcdoc='<script>parent.hacked()</script>'>",
    "<a href=javascript:hacked()>x</a>",
    "<details open ontoggle=hacked()>",
    "<input autofocus onfocus=hacked()>",
    "<math><mi xlink:href=javascript:hacked()>",
    "${hacked()}",
    "<body onload=hacked()>",
)


LAYERS = ("features.<img src=x onerror=hacked()>", "features.\"'><svg onload=hacked()>")


def net() -> nn.Module:
    """Return the corpus's net with layers whose names are payloads."""
    module = corpus.net()
    layers = list(module.features.children())
    module.features = nn.Sequential()
    names = ("0", "1", "<img src=x onerror=hacked()>", "3", "4", "\"'><svg onload=hacked()>")
    for name, layer in zip(names, layers, strict=True):
        module.features.add_module(name, layer)
    return module


def net_of_all() -> nn.Module:
    """Return the corpus's net with as many classes as there are payloads, and a layer named by each; a dot nests."""
    module = corpus.net()
    for payload in PAYLOADS:
        parent = module.features
        for part in payload.split(".")[:-1]:
            parent.add_module(part, nn.Sequential())
            parent = parent.get_submodule(part)
        parent.add_module(payload.split(".")[-1], nn.ReLU())
    module.head = nn.Linear(12, len(PAYLOADS))
    return module.eval()


ALL_LAYERS = tuple(f"features.{payload}" for payload in PAYLOADS)


def write_images(folder: Path) -> Path:
    """Write images under folders and names that are payloads, as a file system takes them: each is a label and a name."""
    rng = np.random.default_rng(0)
    safe = [payload.replace("/", "∕") for payload in PAYLOADS]
    for number in range(3 * len(safe)):
        place = folder / safe[number % len(safe)]
        place.mkdir(parents=True, exist_ok=True)
        name = f"{safe[(7 * number + 2) % len(safe)]}{number}.png"
        Image.fromarray(rng.integers(0, 255, (48, 48, 3), np.uint8)).save(place / name)
    return folder
