"""Processor time of reach and focus, and reach on strips against reach on the whole input.

    python benchmarks/receptive_field.py [--model efficientnet-lite0] [--weights random] [--layers L …] [--whole]

Without `--layers` every layer is measured, and reach alone. `--whole` sweeps the whole input as well, which takes ten times as
long, and says which layers differ: none may.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from atlas.arrays import Reach
from atlas.model import activations, folding
from atlas.model import receptive_field as fields
from flows import allocator
from flows.config import RunConfig
from flows.model import prepared

IMAGES = 64


def seconds(started: float) -> str:
    """Return the processor time since `started`."""
    return f"{time.process_time() - started:.2f} s"


def same(a: Reach, b: Reach) -> bool:
    """Tell whether two reaches are equal."""
    return all(np.array_equal(getattr(a, side), getattr(b, side)) for side in ("top", "bottom", "left", "right"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="efficientnet-lite0")
    parser.add_argument("--weights")
    parser.add_argument("--layers", nargs="*")
    parser.add_argument("--whole", action="store_true")
    given = parser.parse_args()
    allocator.keep_freed_memory()
    torch.set_num_threads(1)
    model = prepared.load(RunConfig(images="", model=given.model, weights=given.weights))
    sample = prepared.example(model)
    layers = activations.probe(model.module, sample, given.layers)
    folded = folding.fold(model.module, sample).to("cpu")
    started = time.process_time()
    found = fields.reach(folded, layers, tuple(sample.shape))
    print(f"reach of {len(layers)} layers on strips: {seconds(started)}")
    if given.layers:
        images, started = torch.randn(IMAGES, *sample.shape), time.process_time()
        focus = fields.focus(folded, layers, images)
        print(f"focus on {IMAGES} images of noise: {seconds(started)}, {focus}")
    if given.whole:
        fields.STRIP, started = 1 << 20, time.process_time()
        whole = fields.reach(folded, layers, tuple(sample.shape))
        different = [name for name in layers if not same(found[name], whole[name])]
        print(f"reach on the whole input: {seconds(started)}; layers that differ: {different}")


if __name__ == "__main__":
    main()
