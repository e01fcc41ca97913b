"""How true the linear attributions of `explain` are on a real model.

    python benchmarks/explain.py FOLDER [--images 24] [--layer _blocks.10] [--to _blocks.14]

For images of FOLDER, evenly spread: the sum at the last linear layer's input against the logit without its bias; forward
mode against one backward pass for each of eight classes; and the rank correlation (Spearman) of what a position, a unit or
a group adds, and of how it moves the later layer, with what is lost when it is set to zero.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.attribution.scores import class_logit
from atlas.model.activations import run_to, view
from atlas.model.forward_mode import replacing
from atlas.one_image import between, contribution
from atlas.one_image.blocks import blocks
from atlas.one_image.groups import group_attribution, groups
from flows.model.context import ModelContext, open_context

LAST = "_swish@1"
"""Of the default model: what is rectified, averaged and given to its last linear layer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--layer", default="_blocks.10")
    parser.add_argument("--to", default="_blocks.14")
    told = parser.parse_args()
    torch.set_num_threads(1)
    seen, figures = open_context("none"), defaultdict(list)
    layers = seen.layers([told.layer, told.to, LAST])
    for image in _spread(told.folder, told.images):
        pixels = seen.model.preprocess.pixels(seen.image(str(image)))
        x = seen.model.preprocess.normalise(torch.from_numpy(pixels.copy())[None]).contiguous()
        for name, value in _measured(seen, x, layers[told.layer], layers[told.to], layers[LAST]):
            figures[name].append(value)
    for name, values in figures.items():
        print(
            f"{name:48} median {np.median(values):9.3g}  worst {np.max(values) if 'error' in name else np.min(values):9.3g}"
        )


def _measured(seen: ModelContext, x: Tensor, layer: Layer, later: Layer, last: Layer) -> Iterator[tuple[str, float]]:
    module, logits = seen.model.module, seen.model.logits
    first = int(seen.choices(x)[0]["index"])
    score = class_logit(first, logits)
    yield "error: sum at the last linear layer", _sum_error(module, x, last, score, first)
    activation, by_activation, _ = contribution.sensitivity(module, x, layer, score)
    h, gradient = activation[0], by_activation[0]
    cut, found = blocks(layer.height, layer.width, 7), groups(h.numpy(), 6)
    made = between.effects_on_classes(module, x, layer, between.position_parts(h, cut), logits)
    yield "error: forward mode against gradients", _gradient_error(module, x, layer, cut, made, logits)
    everything = (h * gradient).numpy()
    parts = {
        "position": (between.position_parts(h, cut), cut.sums(everything.sum(0)).ravel()),
        "unit": (between.unit_parts(h, list(range(layer.units))), everything.sum((1, 2))),
        "group": (between.pattern_parts(found.patterns()), group_attribution(found, gradient.numpy()).sum((1, 2))),
    }
    for name, (chunks, linear) in parts.items():
        lost = _lost(module, x, layer, chunks, lambda: logits(module(x))[:, first])
        yield f"rank correlation: {name} to class", float(spearmanr(linear, lost).statistic)
    yield from _links(module, x, layer, later, h)


def _links(module: nn.Module, x: Tensor, layer: Layer, later: Layer, h: Tensor) -> Iterator[tuple[str, float]]:
    end, cut = _seen(module, x, later), blocks(layer.height, layer.width, 7)
    after = blocks(later.height, later.width, 7)

    def lengths() -> Tensor:
        now = _seen(module, x, later).norm(dim=0)
        return torch.from_numpy(after.sums(now.numpy())).flatten()[None]

    asked = {
        "position to position": (lambda: between.position_parts(h, cut), between.read_lengths(end, after), lengths),
        "unit to unit": (
            lambda: between.unit_parts(h, list(range(0, layer.units, 4))),
            between.read_sums,
            lambda: _seen(module, x, later).sum((1, 2))[None],
        ),
    }
    for name, (parts, reading, read) in asked.items():
        linear, lost = (
            between.effects_on_layer(module, x, layer, later, parts(), reading),
            _lost(module, x, layer, parts(), read),
        )
        yield f"rank correlation: {name}", float(spearmanr(linear.ravel(), lost.ravel()).statistic)


def _lost(module: nn.Module, x: Tensor, layer: Layer, parts: between.Parts, read: Callable[[], Tensor]) -> np.ndarray:
    """Return what is lost when each part is taken away, `n …`: a pass for each."""
    found = []
    with torch.no_grad():
        whole = read()
        for part in (one for chunk in parts for one in chunk):

            def without(raw: Tensor, part: Tensor = part) -> Tensor:
                changed = raw.clone()
                view(changed, layer).sub_(part)
                return changed

            with replacing(module, layer, without):
                found.append((whole - read())[0])
    return torch.stack(found).numpy()


def _sum_error(module: nn.Module, x: Tensor, last: Layer, score: contribution.Score, first: int) -> float:
    activation, by_activation, logit = contribution.sensitivity(module, x, last, score)
    bias = float(module.get_submodule("_fc").bias[first])
    return abs(float((activation * by_activation).double().sum()) - (logit - bias))


def _gradient_error(module: nn.Module, x: Tensor, layer: Layer, cut: object, made: np.ndarray, logits: object) -> float:
    worst = 0.0
    for index in np.linspace(0, made.shape[1] - 1, 8).astype(int).tolist():
        activation, by_activation, _ = contribution.sensitivity(module, x, layer, class_logit(index, logits))
        expected = cut.sums((activation * by_activation)[0].sum(0).numpy()).ravel()
        worst = max(worst, float(np.abs(made[:, index] - expected).max()))
    return worst


def _seen(module: nn.Module, x: Tensor, layer: Layer) -> Tensor:
    got: dict[str, Tensor] = {}
    with torch.no_grad():
        run_to(module, x, {layer.name: layer}, got.__setitem__, clone=True)
    return got[layer.name][0]


def _spread(folder: Path, count: int) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [files[number * len(files) // count] for number in range(count)]


if __name__ == "__main__":
    main()
