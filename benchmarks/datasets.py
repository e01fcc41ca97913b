"""Two datasets held against each other: false alarms between halves of one, and what is found of images that do not belong.

    python benchmarks/datasets.py IMAGES [--work FOLDER] [--count 2000] [--size 1000] [--draws 60] [--splits 200]

IMAGES has a folder for each label. Those of labels that begin with `--foreign` are foreign to the others, the clean
ones. The samples of clean images, of corrupted copies of some, and of foreign images are collected once into a store in
--work. Then, layer by layer:
`splits`: two sets of --size clean images against each other: alarms at 5 %, and whether the p-values are uniform.
`shares`: the same, but 1, 5 or 20 % of the second set are corrupted or foreign: the area under
the curve (AUC) of the p-value against that of the splits, beside two tests on the same vectors with as many permutations:
the maximum mean discrepancy (MMD, Gaussian kernel at the median distance) and the share of each image's 15 nearest
neighbours from its own set (Schilling 1986, Henze 1988).
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from scipy.sparse import csr_matrix
from scipy.stats import kstest, rankdata

from atlas.arrays import Samples
from atlas.comparing import datasets
from atlas.comparing.two_samples import labellings, tail_shares
from atlas.layout.neighbours import graph
from atlas.layout.vectors import vectors
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.run import open_run

LAYERS = ("_blocks.4", "_blocks.10", "_conv_head")
CORRUPTED = 500
SHARES = (0.01, 0.05, 0.2)
NEAREST = 15
PERMUTATIONS = 199


def noise(picture: Image.Image, seed: int) -> Image.Image:
    pixels = np.asarray(picture, np.float64) + np.random.default_rng(seed).normal(0, 25, (*picture.size[::-1], 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def jpeg(picture: Image.Image, seed: int) -> Image.Image:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=10)
    return Image.open(data).convert("RGB")


CORRUPTIONS: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "noise": noise,
    "blur": lambda picture, seed: picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 100)),
    "jpeg": jpeg,
    "grey": lambda picture, seed: picture.convert("L").convert("RGB"),
}


def prepare(args: argparse.Namespace) -> dict[str, Path]:
    """Return a folder of images for each kind: clean, foreign, and each corruption of some clean ones."""
    rng = np.random.default_rng(0)
    files = sorted(file for file in args.images.rglob("*") if file.suffix in (".jpg", ".png"))
    foreign = [file for file in files if file.parent.name.startswith(args.foreign)]
    clean = [file for file in files if not file.parent.name.startswith(args.foreign)]
    chosen = [clean[i] for i in rng.permutation(len(clean))[: args.count]]
    kinds = {"clean": chosen, "foreign": [foreign[i] for i in rng.permutation(len(foreign))[:CORRUPTED]]}
    kinds |= dict.fromkeys(CORRUPTIONS, chosen[:CORRUPTED])
    for kind, pictures in kinds.items():
        for number, file in enumerate(pictures):
            copy = args.work / "images" / kind / f"{number:05d}.png"
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                picture = Image.open(file).convert("RGB")
                CORRUPTIONS.get(kind, lambda picture, seed: picture)(picture, number).save(copy, compress_level=1)
    return {kind: args.work / "images" / kind for kind in kinds}


def collect(args: argparse.Namespace) -> dict[str, dict[str, np.ndarray]]:
    """Return the vectors of each layer, by kind and the number of the image: `n c`."""
    found: dict[str, dict[str, np.ndarray]] = {layer: {} for layer in LAYERS}
    for kind, folder in prepare(args).items():
        config = RunConfig(
            images=str(folder), store=str(args.work / "store"), name=kind, layers=LAYERS, until="collect"
        )
        pipeline.run(config, Inline())
        run = open_run(args.work / "store", kind)
        numbers = [int(Path(key).stem) for key in run.images()["key"].to_pylist()]
        for layer in LAYERS:
            samples = run.samples(layer)
            order = np.argsort([numbers[i] for i in samples.image_id.tolist()])
            found[layer][kind] = samples.activations[order]
    return found


def sets(values: np.ndarray) -> Samples:
    n = np.arange(len(values))
    return Samples(activations=values, image_id=n, y=n.astype(np.int32) * 0, x=n.astype(np.int32) * 0)


def ours(a: np.ndarray, b: np.ndarray) -> float:
    names = np.arange(len(a)), len(a) + np.arange(len(b))
    points = np.full((len(a), 2), 0.5, np.float32)
    return datasets.difference(sets(a), points, sets(b), names, grids=(), min_count=5, permutations=PERMUTATIONS).p


def permuted(statistic: Callable[[np.ndarray], np.ndarray], n: int, m: int) -> float:
    """Return the p-value of a statistic of labellings `r n`, the first row being the real one."""
    second = np.repeat([False, True], [n, m])
    rows = np.concatenate([second[None].astype(np.float32), *labellings(second, PERMUTATIONS, 0)])
    return float(tail_shares(statistic(rows))[0])


def mmd(a: np.ndarray, b: np.ndarray) -> float:
    unit = np.concatenate(list(vectors(np.concatenate([a, b]), cosine=True).chunks())).astype(np.float64)
    squared = np.maximum(0, 2 - 2 * unit @ unit.T)
    kernel = np.exp(-squared / np.median(squared[np.triu_indices(len(unit), 1)]))
    np.fill_diagonal(kernel, 0)

    def statistic(rows: np.ndarray) -> np.ndarray:
        first = 1 - rows
        n, m = len(a), len(b)
        within = ((rows @ kernel) * rows).sum(1) / (m * (m - 1)) + ((first @ kernel) * first).sum(1) / (n * (n - 1))
        return within - 2 * ((rows @ kernel) * first).sum(1) / (n * m)

    return permuted(statistic, len(a), len(b))


def nearest(a: np.ndarray, b: np.ndarray) -> float:
    unit = np.concatenate(list(vectors(np.concatenate([a, b]), cosine=True).chunks()))
    n = len(unit)
    others = graph(unit, NEAREST + 1).rows[:, 1:].ravel()
    edges = csr_matrix((np.ones(n * NEAREST), (np.repeat(np.arange(n), NEAREST), others)), shape=(n, n))

    def statistic(rows: np.ndarray) -> np.ndarray:
        return sum((((edges @ side.T).T) * side).sum(1) for side in (rows, 1 - rows))

    return permuted(statistic, len(a), len(b))


TESTS = {"actlas": ours, "MMD": mmd, "neighbours": nearest}


def auc(alternative: np.ndarray, null: np.ndarray) -> float:
    """Return the probability that a p-value of the alternative is below one of the null, ties as half."""
    ranks = rankdata(np.concatenate([-alternative, -null]))[: len(alternative)]
    return float((ranks.sum() - len(ranks) * (len(ranks) + 1) / 2) / (len(alternative) * len(null)))


def draw(
    of_kind: dict[str, np.ndarray], half: int, kind: str, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw two sets of `half` clean images, and replace a share of the second by images of a kind."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(of_kind["clean"]))[: 2 * half]
    a, b = of_kind["clean"][order[:half]], of_kind["clean"][order[half:]].copy()
    if share:
        count = round(share * len(b))
        # a corrupted image is of the second half, where there are enough of these, and stands in the place of its original
        there = np.flatnonzero(order[half:] < CORRUPTED) if kind != "foreign" else np.arange(len(b))
        places = rng.choice(there, min(count, len(there)), replace=False)
        source = order[half:][places] if kind != "foreign" else rng.choice(len(of_kind[kind]), count, replace=False)
        b[places] = of_kind[kind][source]
    return a, b


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/datasets"))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--foreign", default="stamp_")
    parser.add_argument("--layers", nargs="*", default=list(LAYERS))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    collected = collect(args)
    for layer in args.layers:
        measure(args, layer, collected[layer])


def measure(args: argparse.Namespace, layer: str, of_kind: dict[str, np.ndarray]) -> None:
    started = time.monotonic()
    null = {
        name: np.array([test(*draw(of_kind, args.size, "", 0, s)) for s in range(args.splits)])
        for name, test in TESTS.items()
    }
    for name, p in null.items():
        say(layer=layer, test=name, splits=len(p), alarms=int((p <= 0.05).sum()), ks=round(uniform(p), 3))
    for kind in [*CORRUPTIONS, "foreign"]:
        for share in SHARES:
            found = {}
            for name, test in TESTS.items():
                p = np.array([test(*draw(of_kind, args.size, kind, share, 10_000 + s)) for s in range(args.draws)])
                found[name] = {"auc": round(auc(p, null[name]), 3), "alarms": round(float((p <= 0.05).mean()), 2)}
            say(layer=layer, kind=kind, share=share, **found)
    say(layer=layer, seconds=round(time.monotonic() - started))


def uniform(p: np.ndarray) -> float:
    """Return the p-value of the Kolmogorov-Smirnov test that p-values are uniform; they are multiples of 1 / 200."""
    spread = p - np.random.default_rng(0).random(len(p)) / (1 + PERMUTATIONS)
    return float(kstest(spread, "uniform").pvalue)


def say(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
