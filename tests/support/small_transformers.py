"""Vision transformers of the libraries' own code, with few and seeded weights."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.swin_transformer import SwinTransformer


def swin() -> nn.Module:
    """Return two stages of Swin, of two blocks each; half of them shift their windows."""
    torch.manual_seed(0)
    return SwinTransformer([4, 4], 32, [2, 2], [2, 4], [7, 7], num_classes=10).eval()


def vit() -> nn.Module:
    """Return a ViT of four blocks, for pictures of 64 pixels."""
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    return VisionTransformer(img_size=64, patch_size=8, embed_dim=48, depth=4, num_heads=3, num_classes=10).eval()


def registers() -> nn.Module:
    """Return a ViT of two blocks with a class token and four registers, for pictures of 32 pixels."""
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(1)
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 7}
    module = VisionTransformer(**size, reg_tokens=4, init_values=0.5, dynamic_img_size=True).eval()
    with torch.no_grad():  # far from what they start with, at which every image gives nearly the same
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.2)
    return module


def features() -> nn.Module:
    """Return the same without classes, as models trained without labels are."""
    module = registers()
    module.reset_classifier(0)
    return module
