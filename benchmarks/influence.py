"""Influence by forward mode against ablation: does the linear effect rank the later units as setting the neuron to zero does?

    python benchmarks/influence.py STORE NAME [--units 24]

For units drawn by seed from each layer that has a next one, the mean effect on every later unit over the unit's strongest
patches is compared with what is lost there when the value is set to zero: Spearman's rank correlation per unit over all
later units, and over the connections that the run stores. A run of any stages from `patches` on will do. `--fault moved`
compares each unit with what the next one's loss is: the correlations must fall.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise

import numpy as np
from scipy.stats import spearmanr

from atlas import influence
from flows import cores
from flows.config import RunConfig
from flows.model import prepared, published
from flows.model.prepared import PreparedModel
from flows.stages.influence import CONNECTIONS, PATCHES, read_patches
from flows.stages.shared.passes import fill_batch, passes
from storage.run import Run, open_run


def sums(run: Run, config: RunConfig, subj: PreparedModel, names: tuple[str, str], units: np.ndarray) -> np.ndarray:
    """Return, for these units of a layer, the mean effect on every later unit and the mean loss, `2 units v`."""
    layer, later = (subj.layers[name] for name in names)
    patches = read_patches(run.result("patches", layer.name), PATCHES)
    chosen = np.isin(patches["unit"], units)
    patches = {name: column[chosen] for name, column in patches.items()}
    rows = run.listing(np.unique(patches["image_id"]).tolist())
    module, total = subj.module_exposing(names), np.zeros((2, layer.units, later.units))
    for images, numbers in passes(subj, config, rows, patches["image_id"]):
        place = [fill_batch(patches[name][numbers], subj.device) for name in ("unit", "y", "x")]
        for kind, measure in enumerate((influence.effects, influence.ablations)):
            made = measure(module, images, layer, later, *place)[: len(numbers)].cpu().numpy()
            np.add.at(total[kind], patches["unit"][numbers], made)
    return total[:, units] / np.maximum(np.bincount(patches["unit"], minlength=layer.units)[units], 1)[:, None]


def agreement(effect: np.ndarray, loss: np.ndarray) -> dict[str, float]:
    """Return the median rank correlations over units, and how often the strongest connection has the sign of its loss."""
    over_all, stored, signs = [], [], []
    for e, a in zip(effect, loss, strict=True):
        if not e.any() or not a.any():
            continue
        order = np.argsort(-e)
        kept = np.unique(np.concatenate([order[:CONNECTIONS], order[-CONNECTIONS:]]))
        over_all.append(spearmanr(e, a).statistic)
        stored.append(spearmanr(e[kept], a[kept]).statistic)
        signs.append(np.sign(e[np.abs(e).argmax()]) == np.sign(a[np.abs(e).argmax()]))
    return {
        "units": len(over_all),
        "rank_correlation_all": round(float(np.median(over_all)), 3),
        "rank_correlation_all_p10": round(float(np.quantile(over_all, 0.1)), 3),
        "rank_correlation_stored": round(float(np.median(stored)), 3),
        "strongest_has_same_sign": round(float(np.mean(signs)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("name")
    parser.add_argument("--units", type=int, default=24)
    parser.add_argument("--fault", choices=["moved"])
    args = parser.parse_args()
    cores.share_cores()
    run = open_run(args.store, args.name)
    config = published.config_of(run, args.store)
    subj = prepared.prepare(config)
    for names in pairwise(subj.layers):
        rng = np.random.default_rng(0)
        many = subj.layers[names[0]].units
        units = np.sort(rng.choice(many, min(args.units, many), replace=False))
        effect, loss = sums(run, config, subj, names, units)
        if args.fault:
            loss = np.roll(loss, 1, axis=0)
        print(json.dumps({"layer": names[0], "later": names[1], **agreement(effect, loss)}), flush=True)


if __name__ == "__main__":
    main()
