"""Fingerprints of five kinds of small model, to compare between processors.

    python tests/support/five_models.py [THREADS]

Prints them as JSON. The kinds: convolutions with batch norm, depthwise convolutions, a vision transformer, windows of
attention, and a net that divides each picture by its own deviation (which black has none of).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision import models as library
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2
from torchvision.models.vision_transformer import VisionTransformer

from atlas.model import activations
from flows.model import fingerprints, prepared
from storage.models import Model, Preprocess


class Standardised(nn.Module):
    """Divides each picture by its own deviation, then normalises every channel by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8)
        self.second = nn.Conv2d(8, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)
        out: Tensor = self.second(self.norm(self.first(x)).relu()).mean((2, 3))
        return out


KINDS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: library.resnet18(num_classes=10),
    "mobilenet_v3": lambda: library.mobilenet_v3_small(num_classes=10),
    "vit": lambda: VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=24, mlp_dim=32),
    "swin_v2": lambda: SwinTransformer(
        [4, 4],
        16,
        [2, 2],
        [2, 4],
        [4, 4],
        num_classes=10,
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
    ),
    "standardised": Standardised,
}


def model(kind: str) -> Model:
    """Return a model of a kind, with seeded weights from numbers that no processor changes."""
    module = KINDS[kind]().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            whole = torch.randint(1, 9, tensor.shape, generator=generator).to(tensor.dtype)
            tensor.copy_(
                whole if name.endswith("running_var") else (whole - 4.5) / 8 / max(1, tensor[0].numel()) ** 0.5
            )
    return Model(module=module, preprocess=Preprocess(resize=36, crop=(32, 32)), spec=f"own:{kind}")


def prints(kind: str) -> dict[str, str]:
    """Return the fingerprints of a few layers and of the output."""
    one = model(kind)
    example = prepared.example(one)
    layers = list(activations.probe(one.module, example))
    return fingerprints.of_model(one, example, [*layers[:: max(1, len(layers) // 6)], ""]).prints


def main(threads: int) -> None:
    """Print the fingerprints of all five."""
    torch.set_num_threads(threads)
    print(json.dumps({kind: prints(kind) for kind in KINDS}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
