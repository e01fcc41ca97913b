"""Do pictures of units excite them more than any photo does? And how many are drawn in a second?

    python benchmarks/units.py STORE NAME [--layer _blocks.10] [--recipe best] [--size 128] [--sheet FILE.png] [--fault moved]

For every unit of the layer that photos excite to different degrees, its plain picture, as it is written, is shown to the
unfolded model, and the unit's largest value over positions is compared with that of its strongest patch among the run's
images. `--fault moved` gives every picture to the next unit: the share must fall.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from atlas.arrays import Byte, Float, Layer
from atlas.model.activations import run_to
from flows import cores
from flows.drawing import facts, goals, show
from flows.model import context as model_context
from flows.sheets import shown as show_sheet
from storage.artefacts import galleries, pictures, tables
from storage.run import Run


def live_units(run: Run, layer: str) -> np.ndarray:
    """Return the units whose strongest and weakest patches differ."""
    table = tables.read_table(run.result("patches", layer).file("patches.parquet"), ["unit", "value"])
    ends = table.group_by("unit").aggregate([("value", "min"), ("value", "max")])
    moved = ends["value_max"].to_numpy() > ends["value_min"].to_numpy()
    return np.sort(ends["unit"].to_numpy()[moved])


def largest(look: model_context.ModelContext, layer: Layer, shown: Byte, units: np.ndarray) -> Float:
    """Return each unit's largest value over positions on its picture, by the model as it came."""
    found, channels = [], look.model.preprocess.channels
    for picture, unit in zip(shown, units.tolist(), strict=True):
        x = look.model.preprocess.normalise(torch.from_numpy(picture[None, ..., :channels].copy()))
        seen: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            run_to(look.model.module, x, {layer.name: layer}, seen.__setitem__)
        found.append(float(seen[layer.name][0, unit].max()))
    return np.array(found, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("name")
    parser.add_argument("--layer", default="_blocks.10")
    parser.add_argument("--recipe")
    parser.add_argument("--size")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet")
    parser.add_argument("--fault", choices=["moved"])
    asked = parser.parse_args()
    cores.share_cores()
    look = model_context.open_context(asked.store, run=asked.name)
    run = look.run
    assert run is not None
    how = show.Settings(recipe=asked.recipe, size=show.size_of(asked.size), steps=asked.steps, seed=asked.seed)
    (layer,), units = look.layers([asked.layer]).values(), live_units(run, asked.layer)
    wanted = goals.unit_goals(layer, units.tolist())
    started = time.perf_counter()
    drawn = show.draw(look, wanted, {layer.name: layer}, how)
    seconds = time.perf_counter() - started
    shown = np.stack([one.picture for one in drawn])
    if asked.fault:
        shown = np.roll(shown, 1, axis=0)
    best = largest(look, layer, shown, units)
    ratio = best / galleries.strongest(run.result("patches", layer.name))[units]
    answer = {
        "layer": layer.name,
        "recipe": drawn[0].recipe.name,
        "steps": drawn[0].recipe.steps,
        "size": list(drawn[0].size),
        "images": len(run.images()),
        "live": len(units),
        "above": round(float((ratio > 1).mean()), 4),
        "ratio_median": round(float(np.median(ratio)), 3),
        "ratio_p10": round(float(np.quantile(ratio, 0.1)), 3),
        "below": units[ratio <= 1].tolist(),
        "folded_gap": round(float(np.abs(best - [one.best for one in drawn]).max()), 6),
        "pictures_per_second": round(len(drawn) / seconds, 3),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(answer), flush=True)
    if asked.sheet:
        pictures.write_png(show_sheet.picture(facts.describe(look, drawn, how), drawn), Path(asked.sheet))


if __name__ == "__main__":
    main()
