"""The oracle of the strongest patches: run the unfolded model image by image and sort every activation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from atlas import activations
from flows import subject
from flows.config import RunConfig
from storage.images import sources
from storage.images.decode import decode
from storage.run import Run


def all_activations(config: RunConfig, run: Run, layer: str) -> dict[int, np.ndarray]:
    """Return every used image's activations `c h w` at a layer, by image_id, from the model as it was loaded."""
    subj = subject.open_subject(config)
    used = [row["image_id"] for row in run.images().to_pylist() if row["reason"] is None]
    rows = run.listing(used)
    found: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for index, data in sources.read(sources.open_source(config.images), rows):
            pixels = torch.from_numpy(subj.model.preprocess.pixels(decode(data)))[None]
            shown = subj.model.preprocess.normalise(pixels)
            activations.run_to(
                subj.model.module,
                shown,
                {layer: subj.layers[layer]},
                lambda _, seen, i=index: found.update({used[i]: seen[0].float().numpy().copy()}),
            )
    return found


def strongest(found: dict[int, np.ndarray], unit: int, sign: str, k: int) -> list[tuple[float, int, int, int]]:
    """Return the best k of (value, image_id, y, x), one per image."""
    turn = -1 if sign == "positive" else 1
    best = []
    for image_id, activation in found.items():
        place = int(np.argmin(turn * activation[unit]))
        y, x = divmod(place, activation.shape[2])
        best.append((float(activation[unit, y, x]), image_id, y, x))
    return sorted(best, key=lambda row: turn * row[0])[:k]


def differences(
    expected: list[tuple[float, int, int, int]], patches: list[dict[str, Any]], tolerance: float = 1e-5
) -> list[str]:
    """Say where stored patches differ: in a value, or in image and position where no neighbour is closer than the tolerance.

    The tolerance is relative for values above 1.
    """
    wrong = [] if len(expected) == len(patches) else [f"{len(patches)} patches instead of {len(expected)}"]
    values = [row[0] for row in expected]
    for rank, (row, patch) in enumerate(zip(expected, patches, strict=False)):
        slack = tolerance * max(1.0, abs(row[0]))
        if abs(row[0] - patch["value"]) > slack:
            wrong.append(f"rank {rank}: {patch['value']} instead of {row[0]}")
        near = [abs(row[0] - other) <= 2 * slack for i, other in enumerate(values) if abs(i - rank) == 1]
        same = (row[1], row[2], row[3]) == (patch["image_id"], patch["y"], patch["x"])
        if not same and not any(near) and rank < len(expected) - 1:
            wrong.append(f"rank {rank}: image {patch['image_id']} at {patch['y']},{patch['x']} instead of {row[1:]}")
    return wrong
