"""Does a class's picture show the class to networks trained apart from the one that it was drawn by?

    python benchmarks/classes.py [--count 50] [--seed 0] [--recipes class lucid simonyan maco] [--steps N] [--keep FOLDER]

Pictures of classes drawn by seed, at the default model's own size, are shown as they are written in bytes: to the model
that drew them (does it put the class first?), and, stretched to their own input sizes, to efficientnet-lite1 and -lite2
(which probability do they give the class, and do they put it first?). `--fault moved` gives every picture to the next
class: the shares must fall to nothing. Intervals: 95 %, by bootstrap over classes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from atlas.arrays import Byte
from flows import cores
from flows.drawing import show
from flows.model import context as model_context
from flows.sheets import contact_sheet
from storage import models
from storage.artefacts import pictures

JUDGES = ("efficientnet-lite1", "efficientnet-lite2")
RESAMPLES = 10_000
SLICE = 10
"""How many pictures are drawn and kept at a time."""

Double = NDArray[np.float64]


def drawn_classes(count: int, seed: int, of: int = 1000) -> list[int]:
    """Return that many different classes, drawn by seed."""
    return [int(index) for index in np.random.default_rng(seed).choice(of, count, replace=False)]


def shares(model: models.Model, shown: Byte) -> Double:
    """Return the probability `n k` that a model gives each class on pictures `n h w 3` stretched to its own size."""
    height, width = model.preprocess.size
    found = []
    for picture in shown:
        sized = np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
        with torch.inference_mode():
            scores = model.logits(model.module(model.preprocess.normalise(torch.from_numpy(sized)[None])))
        found.append(scores[0].double().softmax(0).numpy())
    return np.stack(found)


def judged(found: Double, wanted: Sequence[int]) -> dict[str, float]:
    """Tell of shares `n k` the mean of the wanted, its interval, their median, and how often they come first."""
    own = found[np.arange(len(wanted)), list(wanted)]
    picks = np.random.default_rng(0).integers(len(own), size=(RESAMPLES, len(own)))
    low, high = np.percentile(own[picks].mean(axis=1), [2.5, 97.5])
    first = float((found.argmax(axis=1) == np.array(wanted)).mean())
    numbers = {"mean": own.mean(), "from": low, "to": high, "median": np.median(own), "first": first}
    return {name: round(float(value), 3) for name, value in numbers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the classes")
    parser.add_argument("--first", type=int, help="take only so many of those drawn")
    parser.add_argument("--draw-seed", type=int, default=0, help="of the pictures")
    parser.add_argument("--recipes", nargs="+", default=["class", "lucid", "simonyan", "maco"])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--kind", default="class", choices=["class", "prob"])
    parser.add_argument("--sheet", help="a folder for a sheet of each recipe, PNG")
    parser.add_argument("--keep", help="a folder for the pictures of each recipe, npz; those that are there are judged")
    parser.add_argument("--fault", choices=["moved"])
    asked = parser.parse_args()
    cores.share_cores()
    look = model_context.open_context("")
    wanted = drawn_classes(asked.count, asked.seed)[: asked.first]
    judges = [look.model, *(models.load(name) for name in JUDGES)]
    for recipe in asked.recipes:
        shown, seconds = _drawn(look, recipe, wanted, asked)
        if asked.fault:
            shown = np.roll(shown, 1, axis=0)
        found = {model.spec: shares(model, shown) for model in judges}
        row: dict[str, object] = {"recipe": recipe, "steps": asked.steps, "classes": len(wanted), "kind": asked.kind}
        row |= {name: judged(share, wanted) for name, share in found.items()}
        row |= {"processor_seconds": seconds, "threads": torch.get_num_threads()}
        print(json.dumps(row), flush=True)
        if asked.sheet:
            title = f"{len(wanted)} classes by recipe {recipe}"
            pictures.write_png(_sheet(look.model, shown, wanted, found, title), Path(asked.sheet) / f"{recipe}.png")


def _drawn(
    look: model_context.ModelContext, recipe: str, wanted: Sequence[int], asked: argparse.Namespace
) -> tuple[Byte, float | None]:
    """Draw the pictures, a few at a time, or read those that were kept; say how many processor seconds one took."""
    how = show.Settings(recipe=recipe, steps=asked.steps, seed=asked.draw_seed)
    shown, seconds = [], []
    for first in range(0, len(wanted), SLICE):
        part = wanted[first : first + SLICE]
        name = "-".join([recipe, str(asked.steps or "own"), asked.kind, str(asked.draw_seed), *map(str, part)])
        kept = Path(asked.keep) / f"{name}.npz" if asked.keep else None
        if kept is None or not kept.exists():
            made, took = _draw(look, [f"{asked.kind}:{index}" for index in part], how)
            if kept is not None:
                np.savez(kept, pictures=made, seconds=took)
        else:
            with np.load(kept) as arrays:
                made, took = arrays["pictures"], float(arrays["seconds"])
        shown.append(made)
        seconds.append(took)
    return np.concatenate(shown), round(sum(seconds) / len(wanted), 2)


def _draw(look: model_context.ModelContext, targets: Sequence[str], how: show.Settings) -> tuple[Byte, float]:
    started = time.process_time()
    drawn = show.show(look, targets, how)
    return np.stack([one.picture for one in drawn]), time.process_time() - started


def _sheet(model: models.Model, shown: Byte, wanted: Sequence[int], found: dict[str, Double], title: str) -> Byte:
    """Lay the pictures out with the class's name and the judges' probabilities."""
    tiles = [
        contact_sheet.Tile(
            picture=picture,
            left=model.classes[index].split(",")[0],
            right=" ".join(f"{100 * one[place, index]:.0f}" for one in found.values()) + " %",
        )
        for place, (picture, index) in enumerate(zip(shown, wanted, strict=True))
    ]
    remark = "percent: the probability of the class by " + ", ".join(found)
    return contact_sheet.sheet(tiles, title, remark)


if __name__ == "__main__":
    main()
