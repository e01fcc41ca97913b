"""The oracle of the strongest patches: run the unfolded model image by image and sort every activation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from atlas.model import activations
from flows.config import RunConfig
from flows.model import prepared
from storage.images import sources
from storage.images.decode import decode
from storage.run import Run


def all_activations(config: RunConfig, run: Run, layer: str, folded: bool = False) -> dict[int, np.ndarray]:
    """Return every used image's activations `c h w` at a layer, by image_id, image by image.

    From the model as it was loaded, or with its batch norms folded as collect runs it.
    """
    subj = prepared.prepare(config)
    model = subj.folded if folded else subj.model.module
    used = [row["image_id"] for row in run.images().to_pylist() if row["reason"] is None]
    rows = run.listing(used)
    found: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for index, data in sources.read(sources.open_source(config.images), rows):
            pixels = torch.from_numpy(subj.model.preprocess.pixels(decode(data)).copy())[None]
            shown = subj.model.preprocess.normalise(pixels)
            activations.run_to(
                model,
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
    found: dict[int, np.ndarray],
    unit: int,
    sign: str,
    patches: list[dict[str, Any]],
    k: int = 16,
    tolerance: float = 1e-5,
) -> list[str]:
    """Say where stored patches differ from the best k: in number, in value, or in place.

    Values may differ by the tolerance (relative above 1). Where the true value at a stored place is that of its rank
    within the tolerance, image and position are right: only neighbours closer than that can have changed places.
    """
    expected = strongest(found, unit, sign, k)
    wrong = [] if len(expected) == len(patches) else [f"{len(patches)} patches instead of {len(expected)}"]
    if len({patch["image_id"] for patch in patches}) != len(patches):
        wrong.append("an image is there twice")
    for rank, (row, patch) in enumerate(zip(expected, patches, strict=False)):
        slack = tolerance * max(1.0, abs(row[0]))
        if abs(row[0] - patch["value"]) > slack:
            wrong.append(f"rank {rank}: {patch['value']} instead of {row[0]}")
        there = float(found[patch["image_id"]][unit, patch["y"], patch["x"]])
        if abs(there - row[0]) > 2 * slack:
            wrong.append(f"rank {rank}: image {patch['image_id']} at {patch['y']},{patch['x']} instead of {row[1:]}")
    return wrong


def coherences(run: Run, layer: str, grid: int) -> np.ndarray:
    """The mean cosine of each cell's members to their mean, by its definition."""
    cells, samples = run.cells(layer, grid), run.samples(layer).activations.astype(np.float64)
    found = []
    for start, stop in zip(cells.offsets[:-1], cells.offsets[1:], strict=True):
        members = samples[cells.members[start:stop]]
        mean = members.mean(axis=0)
        lengths = np.linalg.norm(members, axis=1) * np.linalg.norm(mean)
        found.append(np.divide(members @ mean, lengths, out=np.zeros(len(members)), where=lengths > 0).mean())
    return np.array(found)
