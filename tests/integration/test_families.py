"""The same job on a residual net, a squeeze-and-excite net, Swin and a ViT, with random weights, against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import brute, corpus

from atlas.arrays import SIGNS
from flows import pipeline
from flows.engines import Inline
from storage.run import open_run

FAMILIES = {
    "residual": ("torchvision:resnet18", ("layer2.0.conv1", "layer3"), 64),
    "squeeze-and-excite": ("torchvision:mobilenet_v3_small", ("features.4", "features.9.block.2"), 64),
    "swin": ("torchvision:swin_t", ("features.1", "features.3.1"), 64),
    "vit": ("timm:vit_tiny_patch16_224", ("blocks.2", "blocks.5"), None),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_top_patches_of_every_family_equal_brute_force(family: str, tmp_path: Path) -> None:
    model, layers, size = FAMILIES[family]
    images = corpus.write_images(tmp_path / "images", 21)
    config = corpus.config(
        images,
        tmp_path / "store",
        model=model,
        weights="random",
        layers=layers,
        input_size=size,
        until="patches",
        mean=None,
        std=None,
    )
    pipeline.run(config, Inline())
    opened = open_run(tmp_path / "store", "small")
    for layer in layers:
        found = brute.all_activations(config, opened, layer)
        units, height, width = next(iter(found.values())).shape
        assert height * width > 1
        for unit in np.linspace(0, units - 1, 24).astype(int).tolist():
            for sign in SIGNS:
                patches = opened.patches(layer, unit, 16, sign).to_pylist()
                assert not brute.differences(found, unit, sign, patches, tolerance=2e-5), (layer, unit, sign)
