"""Functions beside the model."""

from torch import nn


def rectify(x):
    return x.clamp(min=0.05) - 0.02 * x.abs()


def boost(module, args, output):
    return output * 1.1 + 0.01


def block(channels, size=3):
    return nn.Sequential(nn.Conv2d(channels, channels + 2, size, padding=1), nn.BatchNorm2d(channels + 2), nn.GELU())
