"""Ask of every saliency method whether it finds the object, and whether the model needs what it marks.

    python benchmarks/localisation.py FOLDER [--count N] [--curves N] [--keep FILE.jsonl] [--markdown FILE.md]

FOLDER has `images/*.jpg`, objects pasted on photos, and `masks/*.png`, where each is. What is explained is the model's
own first choice, so a map is right to point elsewhere when the model looked elsewhere; methods are compared on the
same pictures and choices. Two baselines know nothing of the model: nearness to the centre, and an edge detector.

Pointing: the map's largest value lies on the object. Share: how much of the map's sum does. Both of what speaks for the
class: of the signed methods the positive part (and their absolute value, a row of its own). Deletion: the probability
of the choice while the strongest pixels give way to a blurred picture, averaged over the steps, the lower the better;
insertion: while they come in over the blurred picture, the higher the better (Petsiuk et al. 2018). Intervals: 95 %,
by bootstrap over pictures. `--fault moved` gives every picture another's mask: pointing and share must fall.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from atlas.attribution.methods import METHODS, Settings, attribute
from atlas.attribution.scores import class_logit
from atlas.model.activations import probe
from atlas.model.folding import fold
from storage.images.decode import decode
from storage.models import Model, load

SPEC, CAM_LAYER = "efficientnet-lite0", "_swish@1"
STEPS = 14
"""Of the deletion and insertion curves."""

BLUR = 21
"""Side of the box, passed over twice, of the blurred picture, in pixels."""

RESAMPLES = 10_000
MEASURES = ("pointing", "share", "deletion", "insertion")

Double = NDArray[np.float64]
Numbers = dict[str, dict[str, float]]
"""Of one picture, by method and measure."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, help="pictures, evenly spread; all if left out")
    parser.add_argument("--curves", type=int, default=100, help="pictures that deletion and insertion are measured on")
    parser.add_argument("--samples", type=int, default=25, help="of SmoothGrad")
    parser.add_argument("--steps", type=int, default=25, help="of integrated gradients")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--fault", choices=["moved"])
    parser.add_argument("--keep", type=Path, help="note each picture's numbers here, and go on where it stopped")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    told = parser.parse_args()
    model = load(SPEC)
    # Batch norms folded into their convolutions: the same numbers up to rounding, in two thirds of the time.
    folded = fold(model.module, torch.zeros(3, *model.preprocess.size)).module
    model = dataclasses.replace(model, module=folded)
    layer = probe(model.module, torch.zeros(3, *model.preprocess.size), [CAM_LAYER])[CAM_LAYER]
    settings = Settings(samples=told.samples, steps=told.steps, layer=layer)
    pairs = chosen(told.folder, told.count)
    curves = {name for name, _ in spread(pairs, told.curves)}
    if told.fault:
        pairs = [(image, pairs[number - 1][1]) for number, (image, _) in enumerate(pairs)]
    kept = noted(told.keep)
    begun = time.monotonic()
    for number, (image, mask) in enumerate(pairs, 1):
        if image.name not in kept:
            kept[image.name] = one_picture(model, image, mask, settings, image in curves, told.methods)
            note(told.keep, image.name, kept[image.name])
        print(f"{number} of {len(pairs)}, {time.monotonic() - begun:.0f} s", file=sys.stderr, end="\r")
    print(file=sys.stderr)
    text = table(by_method([kept[image.name] for image, _ in pairs]))
    print(text)
    print(json.dumps({"pictures": len(pairs), "curves": len(curves), "seconds": round(time.monotonic() - begun)}))
    if told.markdown is not None:
        told.markdown.write_text(text + "\n")


def chosen(folder: Path, count: int | None) -> list[tuple[Path, Path]]:
    """Return pairs of picture and mask, all or evenly spread over them."""
    images = sorted((folder / "images").glob("*.jpg"))
    if not images:
        raise SystemExit(f"{folder} has no images/*.jpg")
    return spread([(image, folder / "masks" / f"{image.stem}.png") for image in images], count)


def spread(pairs: list[tuple[Path, Path]], count: int | None) -> list[tuple[Path, Path]]:
    if count is None or count >= len(pairs):
        return pairs
    return [pairs[i * len(pairs) // count] for i in range(count)]


def one_picture(
    model: Model,
    image: Path,
    mask: Path,
    settings: Settings,
    curves: bool,
    methods: Sequence[str] = tuple(METHODS),
) -> Numbers:
    """Measure every map of one picture: by method and measure. Empty where the crop has cut the object off."""
    picture = decode(image.read_bytes())
    x = model.preprocess(picture)[None]
    inside = model.preprocess.pixels(Image.open(mask).convert("RGB"))[..., 0] > 127
    if not inside.any():
        return {}
    with torch.no_grad():
        index = int(model.logits(model.module(x)).argmax())
    found: Numbers = {"area": {"share": float(inside.mean())}}
    for name, map in maps(model, x, index, settings, methods).items():
        row = found.setdefault(name, {})
        positive = np.clip(map, 0, None)
        row["pointing"] = float(inside.flat[int(map.argmax())])
        row["share"] = float(positive[inside].sum() / positive.sum()) if positive.any() else 0.0
        if curves:
            row["deletion"] = curve(model, x, index, map, insert=False)
            row["insertion"] = curve(model, x, index, map, insert=True)
    return found


def noted(path: Path | None) -> dict[str, Numbers]:
    """Return the numbers that an earlier start noted, by picture."""
    if path is None or not path.exists():
        return {}
    return dict(json.loads(line) for line in path.read_text().splitlines())


def note(path: Path | None, name: str, numbers: Numbers) -> None:
    if path is not None:
        with path.open("a") as lines:
            lines.write(json.dumps([name, numbers]) + "\n")


def by_method(pictures: list[Numbers]) -> dict[str, dict[str, list[float]]]:
    """Gather the numbers of all pictures by method and measure."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in pictures:
        for method, row in one.items():
            for measure, number in row.items():
                found[method][measure].append(number)
    return found


def maps(model: Model, x: Tensor, index: int, settings: Settings, methods: Sequence[str]) -> dict[str, Double]:
    """Return the map `h w` of the methods and of both baselines."""
    made: dict[str, Double] = {}
    for method in methods:
        map = attribute(model.module, x, class_logit(index, model.logits), method, settings).map[0].double().numpy()
        made[method] = map
        if METHODS[method].signed:
            made[f"{method}, absolute"] = np.abs(map)
    return made | {"edge detector": edges(x), "centre": centre(x.shape[2], x.shape[3])}


def edges(x: Tensor) -> Double:
    """Return the length of the grey picture's slope by Sobel's filters; the border's, which padding makes, is 0."""
    grey = x.mean(1, keepdim=True)
    sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    slopes = F.conv2d(grey, torch.stack([sobel, sobel.T])[:, None])
    return F.pad(slopes.norm(dim=1), (1, 1, 1, 1))[0].double().numpy()


def centre(height: int, width: int) -> Double:
    """Return a bump in the middle, a quarter of the side wide."""
    y, x = (np.linspace(-1, 1, n) for n in (height, width))
    return np.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * 0.5**2))


def curve(model: Model, x: Tensor, index: int, map: Double, *, insert: bool) -> float:
    """Return the mean probability of the class while the strongest pixels are blurred, or come in over the blur."""
    blurred = blur(x)
    order = torch.from_numpy(np.argsort(-map, axis=None, kind="stable").copy())
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    levels = torch.linspace(0, len(order), STEPS + 1)
    touched = (rank[None] < levels[:, None]).view(-1, 1, *x.shape[2:])
    pictures = torch.where(touched, x, blurred) if insert else torch.where(touched, blurred, x)
    return float(np.trapezoid(probability(model.module, model, pictures, index), dx=1 / STEPS))


def blur(x: Tensor) -> Tensor:
    once = F.avg_pool2d(F.pad(x, (BLUR // 2,) * 4, mode="reflect"), BLUR, 1)
    return F.avg_pool2d(F.pad(once, (BLUR // 2,) * 4, mode="reflect"), BLUR, 1)


def probability(module: nn.Module, model: Model, pictures: Tensor, index: int) -> Double:
    with torch.no_grad():
        return model.logits(module(pictures)).softmax(1)[:, index].double().numpy()


def table(found: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Return the rows as Markdown, each number with its interval."""
    lines = ["| method | pointing ↑ | share inside ↑ | deletion ↓ | insertion ↑ |", "|---|---|---|---|---|"]
    for name, row in found.items():
        if name != "area":
            lines.append(f"| {name} | " + " | ".join(spoken(row.get(measure, [])) for measure in MEASURES) + " |")
    count, area = len(found["area"]["share"]), np.mean(found["area"]["share"])
    return "\n".join([*lines, "", f"{count} pictures; the object covers {area:.3f} of the picture on average."])


def spoken(numbers: list[float]) -> str:
    """Return mean and bootstrap interval."""
    if not numbers:
        return "–"
    values = np.array(numbers)
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
    return f"{values.mean():.3f} ({low:.3f}–{high:.3f})"


if __name__ == "__main__":
    main()
