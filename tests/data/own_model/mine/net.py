"""A model of a user's own that does much where a trace of operators does not look."""

import numpy as np
import torch
from torch import nn

from mine import helper
from storage.models import Model, Preprocess


class Stretched(Preprocess):
    """Stretches contrast, and inverts bright pictures."""

    def pixels(self, image):
        pixels = Preprocess.pixels(self, image)
        return 255 - pixels if pixels.mean() > 150 else pixels

    def normalise(self, pixels):
        values = Preprocess.normalise(self, pixels)
        return values.clamp(-1.9, 2.1) * 1.25 + 0.1


@torch.library.custom_op("mine::squash", mutates_args=())
def squash(x: torch.Tensor, slope: float) -> torch.Tensor:
    values = x.numpy() * slope
    values = np.where(values > 0.8, 0.8 + 0.5 * np.tanh(values - 0.8), values)
    return torch.from_numpy(values / slope)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.mix = helper.block(8)
        self.shift = nn.Parameter(torch.linspace(-0.5, 0.5, 10).view(10, 1, 1))
        self.tail = nn.Conv2d(10, 6, 3, stride=2)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = helper.rectify(self.stem(x))
        torch.manual_seed(3)
        x = x + 0.05 * torch.randn(x.shape[1:], dtype=x.dtype)
        y = self.mix(x)
        y.numpy()[:, 2] *= 1.5
        if y.std() > 0.2:
            y = y * 0.9 - 0.1
        if y.numpy().max() < 1.2:
            y = y + self.shift
        y = squash(y, 0.7)
        if y.amin() < -0.3:
            y = y.roll(1, 3)
        z = self.tail(y).sigmoid()
        pooled = 0.7 * z.mean((2, 3)) + 0.3 * z.amax((2, 3))
        return {"hidden": pooled, "raw": self.head(pooled)}


def scores(output):
    raw = output["raw"]
    return torch.where(raw > 0.0, raw * 1.5, raw) - raw.mean(1, keepdim=True)


def make():
    torch.manual_seed(0)
    net = Net().eval()
    net.tail.register_forward_hook(helper.boost)
    net.stem.register_forward_pre_hook(lambda module, args: (args[0].flip(3) * 0.95,))
    pre = Stretched(resize=36, crop=(32, 32), mean=(0.5, 0.45, 0.4), std=(0.25, 0.25, 0.3))
    return Model(module=net, preprocess=pre, classes=("a", "b", "c", "d"), logits=scores)
