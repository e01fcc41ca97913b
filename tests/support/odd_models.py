"""Models at the edges of what torch allows, by name: a factory each, for `--model support.odd_models:NAME`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from timm.data.imagenet_info import ImageNetInfo
from torch import Tensor, nn

from storage.models import Model, Preprocess

SIDE = 32


class Net(nn.Module):
    """Two convolutions, batch norm between them, and a linear layer for five classes."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(channels, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.fc = nn.Linear(12, 5)

    def between(self, x: Tensor) -> Tensor:
        return x

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv1(x)))
        return F.relu(self.conv2(self.between(x))).mean((2, 3))

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x))


def model(module: nn.Module, **fields: Any) -> Model:
    return Model(module=module, preprocess=Preprocess(resize=SIDE, crop=(SIDE, SIDE)), **fields)


def plain() -> Model:
    return model(Net())


class Tenches(Net):
    """Gives each of ImageNet's 1,000 classes a score, and takes every image for a tench."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 1000)
        with torch.no_grad():
            self.fc.bias[0] = 100.0
            self.fc.weight[[0, 151]] = 1.0  # what speaks for a tench speaks for a Chihuahua, too


def imagenet_classes() -> Model:
    known = ImageNetInfo()
    names = (known.label_name_to_description(identity).split(",")[0] for identity in known.label_names())
    return model(Tenches(), classes=tuple(names))


# No functions of the image.


class Dropping(Net):
    def between(self, x: Tensor) -> Tensor:
        return F.dropout2d(x, 0.5)


class WithoutStatistics(Net):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(8, track_running_stats=False)


class Centred(Net):
    def between(self, x: Tensor) -> Tensor:
        return x - x.mean(0, keepdim=True)


class Masked(Net):
    def between(self, x: Tensor) -> Tensor:
        return x * torch.rand_like(x)


class Counting(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def between(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


class Padded(Net):
    """Takes notice of black images beside its own."""

    def between(self, x: Tensor) -> Tensor:
        return x + (x.flatten(2).std(2).amax(1) < 1e-6).any()


def dropping() -> Model:
    return model(Dropping())


def without_statistics() -> Model:
    return model(WithoutStatistics())


def centred() -> Model:
    return model(Centred())


def masked() -> Model:
    return model(Masked())


def counting() -> Model:
    return model(Counting())


VARYING = {
    "dropping": (Dropping, "between two calls", "its own forward (Dropping), after bn", "drops values by chance"),
    "without_statistics": (WithoutStatistics, "beside another image", "module bn (BatchNorm2d)", "running statistics"),
    "centred": (Centred, "beside another image", "its own forward (Centred), after bn", "mixes the images of a batch"),
    "masked": (Masked, "between two calls", "its own forward (Masked), after bn", "draws random numbers"),
    "counting": (Counting, "between two calls", "its own forward (Counting), after bn", "changes its buffer calls"),
}
"""Models that vary: the class, when, where first, and why."""


# Scores in other places and forms.


class Outputs(Net):
    """The plain net with its output put into another form."""

    def __init__(self, form: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Any:
        features = self.features(x)
        return self.form(features, self.fc(features))


def embedding_first() -> Model:
    return model(Outputs(lambda h, y: (h, y)))


def named_out() -> Model:
    return model(Outputs(lambda h, y: {"embedding": h, "out": y}))


def with_a_mask() -> Model:
    return model(Outputs(lambda h, y: {"mask": y > 0, "boxes": y.new_zeros(0, 4), "logits": y}))


def softmax() -> Model:
    return model(Outputs(lambda h, y: y.softmax(1)))


def one_score() -> Model:
    return model(Outputs(lambda h, y: y[:, :1]))


def detector() -> Model:
    return model(Outputs(lambda h, y: [{"boxes": row[:4].expand(7, 4), "scores": row[:1].expand(7)} for row in y]))


def with_nan() -> Model:
    net = Net()
    with torch.no_grad():
        net.conv2.weight[3, 0, 0, 0] = float("nan")
    return model(net)


class ByPlace(Net):
    """Gives an image another value at another place in its batch."""

    def between(self, x: Tensor) -> Tensor:
        return x + torch.arange(len(x)).view(-1, 1, 1, 1)


class Capped(Net):
    """Gives only the first two images of a batch their full value, as experts of a fixed capacity do."""

    def between(self, x: Tensor) -> Tensor:
        return torch.cat([2 * x[:2], x[2:]])


class Crowded(Net):
    """Gives other values in batches of four and more."""

    def between(self, x: Tensor) -> Tensor:
        return x + (len(x) > 3)


# Models that fail on a white image alone, which no probe is.


class OnWhite(Net):
    """The plain net, which does something else where an image of the batch is white."""

    def __init__(self, change: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def between(self, x: Tensor) -> Tensor:
        return self.change(self, x) if self.white else x

    def forward(self, x: Tensor) -> Any:
        self.white = bool((x.flatten(1).amin(1) > 1.9).any())
        return super().forward(x)


class Skipping(Net):
    """Leaves its second convolution out where an image of the batch is white."""

    def features(self, x: Tensor) -> Tensor:
        white = bool((x.flatten(1).amin(1) > 1.9).any())
        x = F.relu(self.bn(self.conv1(x)))
        return x.mean((2, 3)).repeat(1, 2)[:, :12] if white else F.relu(self.conv2(x)).mean((2, 3))


class Repeating(Net):
    """Calls its last layer again where all of an image's green lies in a range."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.again = nn.Conv2d(12, 12, 1)

    def features(self, x: Tensor) -> Tensor:
        green = x[:, 1].flatten(1)
        again = bool(((green.amin(1) > self.low) & (green.amax(1) < self.high)).any())
        x = self.again(F.relu(self.conv2(F.relu(self.bn(self.conv1(x))))))
        return (self.again(x) if again else x).mean((2, 3))


class NoWhite(nn.Module):
    """Of torch alone but for its name: fails in one of its parts."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, x.new_zeros(1, 9, 1, 1)) if bool((x.flatten(1).amin(1) > 1.9).any()) else x


def _fail(net: Net, x: Tensor) -> Tensor:
    raise ValueError("white is no colour")


def _leave(net: Net, x: Tensor) -> Tensor:
    raise SystemExit("bye")


def white_fails() -> Model:
    return model(OnWhite(_fail))


def white_leaves() -> Model:
    return model(OnWhite(_leave))


def white_misfits() -> Model:
    return model(OnWhite(lambda net, x: x[:, :3]))


def white_skips() -> Model:
    return model(Skipping())


def white_shrinks() -> Model:
    return model(OnWhite(lambda net, x: F.avg_pool2d(x, 2)))


def white_mixes() -> Model:
    return model(OnWhite(lambda net, x: x[:1]))


def white_repeats() -> Model:
    return model(Repeating(1.9, 9))


def grey_repeats() -> Model:
    """Repeats for the images of `write_white` that are not white, which no trial input is like."""
    return model(Repeating(-1, -0.2))


def white_fails_inside() -> Model:
    return model(nn.Sequential(NoWhite(), Net()))


INPUT = r"fails on an input of \d × {} × 32 × 32"
WHITE = {
    "white_fails": rf"its own forward \(OnWhite\) {INPUT.format(3)}: ValueError: white is no colour \(odd_models.py:\d+\)",
    "white_leaves": rf"its own forward \(OnWhite\) {INPUT.format(3)}: SystemExit: bye \(odd_models.py:\d+\)",
    "white_misfits": rf"module conv2 \(Conv2d\) {INPUT.format(3)}: RuntimeError: Given groups=1, .*",
    "white_skips": "layer conv2 does not run for every image; name a layer that runs alike for every image",
    "white_shrinks": "layer conv2 gives 12 × 8 × 8 for some images, 12 × 16 × 16 for others; name a layer .*",
    "white_mixes": r"layer conv2 gives 1 outputs for \d images; name a layer that runs alike for every image",
}
"""What is said where a white image comes, after the name of the model."""


def write_white(folder: Path) -> Path:
    """Write five grey images and a white one."""
    folder.mkdir(parents=True)
    for number in range(6):
        Image.new("RGB", (40, 40), (255,) * 3 if number == 3 else (9 * number, 90, 90)).save(folder / f"{number}.png")
    return folder
