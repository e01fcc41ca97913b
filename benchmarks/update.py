"""A model update as it happens: what is computed again, how long that takes, and whether what changed is found.

    python benchmarks/update.py IMAGES [--count 1000] [--steps 300] [--part update noise units]

`update`: the default model is fine-tuned on the labels of the images, with the head alone, with the blocks up to
`_blocks.10` frozen, and with none frozen. Each is run over an atlas of the model before, and printed stage by stage:
computed and reused, and whether that is what the change reaches; its time against a run from nothing, and against what a
dry run had said; a rerun.
`noise`: how far samples move with another seed of the layout alone, and after a change of one ulp in the stem, which
makes everything be computed again. `units`: ten units of a layer scrambled on top of the fine-tuned model; how many are
among the first fifteen of the drift table. Weights are kept in --work, so that parts can be run one by one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from flows import cores, progress
from flows.comparing import answers as comparison_answer
from flows.comparing import compare, measure
from flows.comparing import table as comparison_table
from flows.config import DEFAULT_LAYERS, RunConfig
from flows.dry_run import estimate
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.sheets import comparison as comparison_sheet
from storage import models
from storage.artefacts import pictures

HEAD, LATE, ALL = "head", "late", "all"
FROZEN = {HEAD: "_bn1", LATE: "_blocks.10", ALL: ""}
"""The last module, in the order of the model, that is not trained."""
REACHED = {HEAD: (), LATE: ("_blocks.14", "_conv_head"), ALL: DEFAULT_LAYERS}
"""Layers whose activations the training changes."""
RATE = 5e-4
"""Learning rate of what was trained before; that of the new head is 0.01."""

SCRAMBLED, FIRST = 10, 15
PROJECTIONS = {
    "_blocks.10": [f"_blocks.{block}._project_conv.weight" for block in (8, 9, 10)],
    "_blocks.14": [f"_blocks.{block}._project_conv.weight" for block in (11, 12, 13, 14)],
    "_conv_head": ["_conv_head.weight"],
}
"""Weights that a unit is the sum of. A block adds to what those before it made: its own kernel alone changes little."""


def fine_tune(images: Path, case: str, steps: int, path: Path) -> None:
    """Train on the folders' names as labels, the first rows of the head as their logits; batch norms stay as they are."""
    model = models.load("efficientnet-lite0")
    module = model.module
    labels = sorted(folder.name for folder in images.iterdir() if folder.is_dir())
    files = [(file, number) for number, label in enumerate(labels) for file in sorted((images / label).iterdir())]
    freeze(module, FROZEN[case])
    rng = np.random.default_rng(0)
    parts: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            parts[name.startswith("_fc")].append(parameter)
    optimiser = torch.optim.SGD(
        [{"params": parts[True], "lr": 0.01}, {"params": parts[False], "lr": RATE}], momentum=0.9
    )
    for step in range(steps):
        chosen = [files[i] for i in rng.choice(len(files), 16)]
        pixels = torch.stack([model.preprocess(Image.open(file).convert("RGB")) for file, _ in chosen])
        loss = F.cross_entropy(module(pixels)[:, : len(labels)], torch.tensor([label for _, label in chosen]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 20 == 0:
            print(f"  {case}: step {step}, loss {loss.item():.3f}", file=sys.stderr, flush=True)
    torch.save(module.state_dict(), path)


def freeze(module: torch.nn.Module, last: str) -> None:
    """Train only what comes after the module named, in the model's own order: stem, blocks by number, head, classifier."""
    module.eval()
    for name, parameter in module.named_parameters():
        parameter.requires_grad = not last or order(name) > order(last)


def order(name: str) -> tuple[int, int]:
    first, _, rest = name.partition(".")
    place = ["_conv_stem", "_bn0", "_blocks", "_conv_head", "_bn1", "_fc"]
    return place.index(first), int(rest.partition(".")[0]) if first == "_blocks" else -1


def config(args: argparse.Namespace, store: Path, weights: Path | None, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {"images": str(args.images), "store": str(store), "name": "photos", "limit": args.count}
    return RunConfig(**(settings | {"grids": (10,), "weights": str(weights) if weights else None} | changes))


def run(asked: RunConfig) -> tuple[dict[str, Any], dict[str, float]]:
    """Run and return the summary with what it took; on a busy machine, processor time is the one to compare."""
    started, used = time.monotonic(), time.process_time()
    summary = pipeline.run(asked, Inline()).as_dict()
    took = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - used}
    return summary, {name: round(value, 1) for name, value in took.items()}


def say(**figures: Any) -> None:
    print(json.dumps(figures, ensure_ascii=False), flush=True)


def tuned(args: argparse.Namespace, case: str) -> Path:
    """Return the fine-tuned weights, trained where they are not there yet."""
    path = Path(args.work, f"{case}-{args.steps}.pt")
    if not path.exists():
        fine_tune(args.images, case, args.steps, path)
    return path


def base(args: argparse.Namespace) -> Path:
    """Return a store with an atlas of the model before the update."""
    store = Path(args.work, f"base-{args.count}")
    if not store.exists():
        summary, took = run(config(args, store, None))
        say(part="base", images=summary["used"], computed=summary["computed"], **took)
    summary, took = run(config(args, store, None))
    say(part="base again", computed=summary["computed"], **took)
    return store


def update(args: argparse.Namespace) -> None:
    before = base(args)
    weights = {case: tuned(args, case) for case in args.cases}
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        asked = config(args, Path(folder, "fresh"), weights[args.cases[-1]])
        said = estimate.estimate(asked)
        summary, fresh = run(asked)
        say(part="update", case="from nothing", **fresh, **foretold(said, summary))
        for case, path in weights.items():
            store = Path(folder, case)
            shutil.copytree(before, store)
            asked = config(args, store, path)
            said = estimate.estimate(asked)
            summary, took = run(asked)
            changed = {row["layer"] for row in summary["stages"] if row["computed"] and row["layer"]}
            say(
                part="update",
                case=case,
                **took,
                ratio=round(took["seconds"] / fresh["seconds"], 3),
                cpu_ratio=round(took["cpu_seconds"] / fresh["cpu_seconds"], 3),
                **foretold(said, summary),
                layers_computed=sorted(changed),
                as_the_change_reaches=changed == set(REACHED[case]),
            )
            for row in summary["stages"]:
                say(part="update", case=case, **row)
            show(store, args, case)
            again, took = run(asked)
            say(part="update", case=f"{case} again", computed=again["computed"], **took)


def foretold(said: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    """Hold what a run did against what a dry run had said of it."""
    return {
        "computed": summary["computed"],
        "reused": summary["reused"],
        "foretold": [said["computed"], said["reused"]],
        "foretold_seconds": said["seconds"],
        "times": round(summary["seconds"] / said["seconds"], 2) if said["seconds"] else None,
    }


def show(store: Path, args: argparse.Namespace, case: str) -> None:
    """Compare the two versions; keep the picture and the table in --work."""
    if case == HEAD:
        return
    steps = measure.measure(str(store), ["photos@1", "photos@2"])
    answer = comparison_answer.describe(steps)
    for layer in answer["steps"][0]["layers"]:
        say(part="compare", case=case, **figures(layer))
    pictures.write_png(comparison_sheet.draw(answer, steps), Path(args.work, f"{case}.png"))
    comparison_table.write(Path(args.work, f"{case}.parquet"), answer, steps)


def noise(args: argparse.Namespace) -> None:
    """Change one weight of the stem by one ulp, run again, and compare."""
    state = models.load("efficientnet-lite0").module.state_dict()
    stem = state["_conv_stem.weight"]
    stem.view(-1)[0] = torch.nextafter(stem.view(-1)[0], torch.tensor(torch.inf))
    path = Path(args.work, "ulp.pt")
    torch.save(state, path)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        store = Path(folder, "store")
        shutil.copytree(base(args), store)
        summary, _ = run(config(args, store, path, until="cells"))
        say(
            part="noise",
            case="one ulp",
            layers_computed=sorted({r["layer"] or "" for r in summary["stages"] if r["computed"]}),
        )
        found = compare.compare(str(store), ["photos@1", "photos@2"])
        for layer in found["steps"][0]["layers"]:
            say(part="noise", case="one ulp", **figures(layer))
        # In a name of its own, the same model's layout has no earlier one: another seed from nothing.
        if args.apart:
            run(config(args, store, path, name="apart", until="cells"))
            for layer in compare.compare(str(store), ["photos@1", "apart"])["steps"][0]["layers"]:
                say(part="noise", case="one ulp, laid out apart", **figures(layer))


def figures(layer: dict[str, Any]) -> dict[str, Any]:
    rounded = {name: None if v is None else round(v, 5) for name, v in layer["displacement"].items()}
    grids = {
        grid: {name: made[name] for name in ("kept", "changed", "appeared", "emptied", "noise")}
        for grid, made in layer["cells"].items()
    }
    drift = {name: layer["drift"][name] for name in ("median", "q95")}
    return {"layer": layer["layer"], "drift": drift, "overlap": layer["overlap"], "moved": rounded, "cells": grids}


def units(args: argparse.Namespace) -> None:
    """Scramble ten units of each layer on top of the fine-tuned model, and look for them in the drift table."""
    path = tuned(args, ALL)
    for layer, parameters in PROJECTIONS.items():
        for seed in range(args.seeds):
            state = torch.load(path, weights_only=True)
            chosen = scramble([state[name] for name in parameters], seed)
            with tempfile.TemporaryDirectory(dir=args.work) as folder:
                store, broken = Path(folder, "store"), Path(folder, "scrambled.pt")
                torch.save(state, broken)
                shutil.copytree(base_of(args, layer), store)
                run(config(args, store, broken, layers=(layer,), until="layout"))
                found = compare.compare(str(store), ["photos@1", "photos@2"], noisy=False)["steps"][0]["layers"][0]
            table = [row["unit"] for row in found["units"]]
            hits = len(set(table[:FIRST]) & set(chosen))
            others = [row["drift"] for row in found["units"] if row["unit"] not in chosen and row["drift"] is not None]
            say(
                part="units",
                layer=layer,
                seed=seed,
                units=len(table),
                found=hits,
                of=len(chosen),
                places=sorted(table.index(unit) + 1 for unit in chosen),
                drift_of_others=round(float(np.median(others)), 4),
            )


def base_of(args: argparse.Namespace, layer: str) -> Path:
    """Return a store with one layer of the model before the update, as far as its layout."""
    store = Path(args.work, f"base-{args.count}-{layer}")
    if not store.exists():
        run(config(args, store, None, layers=(layer,), until="layout"))
    return store


def scramble(weights: list[torch.Tensor], seed: int) -> list[int]:
    """Shuffle the kernels of ten units in place, in all weights that add to them; return which."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = rng.choice(len(weights[0]), SCRAMBLED, replace=False).tolist()
    for weight in weights:
        for unit in chosen:
            kernel = weight[unit].flatten()
            weight[unit] = kernel[torch.from_numpy(rng.permutation(len(kernel)))].view_as(weight[unit])
    return sorted(chosen)


PARTS = {"update": update, "noise": noise, "units": units}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--cases", nargs="+", choices=FROZEN, default=list(FROZEN))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--apart", action="store_true", help="compare with a layout from nothing, too")
    parser.add_argument("--work", default="update-work")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    Path(args.work).mkdir(exist_ok=True)
    cores.share_cores()
    with progress.reporting(progress.Quiet()):
        for part in args.part:
            PARTS[part](args)


if __name__ == "__main__":
    main()
