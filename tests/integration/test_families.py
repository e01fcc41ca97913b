"""The same job on a residual net, a squeeze-and-excite net, Swin and a ViT, with random weights, against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import brute, corpus
from torch import Tensor

from atlas.arrays import SIGNS
from atlas.collect import LayerReduction
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.run import open_run

Net = tuple[str, tuple[str, ...], int | None]
FAMILIES: dict[str, Net] = {
    "residual": ("torchvision:resnet18", ("layer2.0.conv1", "layer3"), 64),
    "squeeze-and-excite": ("torchvision:mobilenet_v3_small", ("features.4", "features.9.block.2"), 64),
    "swin": ("support.small_transformers:swin", ("features.1", "features.3.1"), 64),
    "vit": ("support.small_transformers:vit", ("blocks.2", "blocks.3"), 64),
}
SWEPT = ("squeeze-and-excite", "swin")
WHOLE: dict[str, Net] = {
    "swin": ("torchvision:swin_t", ("features.1", "features.3.1"), 64),
    "vit": ("timm:vit_tiny_patch16_224", ("blocks.2", "blocks.5"), None),
}
"""The nets of these families as the libraries have them, of which those above have the code and fewer weights."""


def wrong_patches(net: Net, folder: Path) -> list[tuple[str, int, str]]:
    """Run the job on a net; name the layers, units and signs whose patches are not those of brute force."""
    model, layers, size = net
    images = corpus.write_images(folder / "images", 21)
    weights = "random" if model.startswith(("torchvision", "timm")) else None
    settings = {"model": model, "weights": weights, "layers": layers, "input_size": size, "mean": None, "std": None}
    config = corpus.config(images, folder / "store", until="patches", **settings)
    pipeline.run(config, Inline())
    opened, wrong = open_run(folder / "store", "small"), []
    for layer in layers:
        found = brute.all_activations(config, opened, layer)
        units, height, width = next(iter(found.values())).shape
        assert height * width > 1
        for unit in np.linspace(0, units - 1, 24).astype(int).tolist():
            for sign in SIGNS:
                patches = opened.patches(layer, unit, 16, sign).to_pylist()
                if brute.differences(found, unit, sign, patches, tolerance=2e-5):
                    wrong.append((layer, unit, sign))
    return wrong


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.sweep if name in SWEPT else ()) for name in FAMILIES]
)
def test_top_patches_of_every_family_equal_brute_force(family: str, tmp_path: Path) -> None:
    assert wrong_patches(FAMILIES[family], tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", WHOLE)
def test_top_patches_of_whole_transformers_equal_brute_force(family: str, tmp_path: Path) -> None:
    assert wrong_patches(WHOLE[family], tmp_path) == []


def test_mutant_height_taken_for_width_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Collect alone reads the maps turned: the oracle, which has its own eyes, must see it."""
    add = LayerReduction.add

    def turned(self: LayerReduction, first: int, activation: Tensor, valid: NDArray[np.bool_]) -> None:
        add(self, first, activation.transpose(2, 3), valid)

    monkeypatch.setattr(LayerReduction, "add", turned)
    wrong = wrong_patches(FAMILIES["squeeze-and-excite"], tmp_path)
    assert len([layer for layer, _, _ in wrong if layer == "features.4"]) > 24  # of 48
