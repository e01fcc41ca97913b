"""Two vision transformers of the libraries' own code, with few and seeded weights."""

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
