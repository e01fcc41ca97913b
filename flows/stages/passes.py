"""Passes: the images of chosen positions through the model, batch by batch, each image read and decoded once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from flows.config import RunConfig
from flows.cores import cores
from flows.model.prepared import PreparedModel
from flows.planning import libraries
from flows.stages import reading
from storage.images import loader

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


BATCH = 32
"""Images per pass: always as many, so that what one gives never depends on how many are left."""


def passes(
    subj: PreparedModel, config: RunConfig, rows: pa.Table, image_id: NDArray[np.int64]
) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """Yield the input `b c h w` for positions of the images `image_id` (ascending), and the numbers of the positions.

    `rows` is the listing. The last positions of a piece may stand there again to fill it up: as many numbers as were
    given once come first, so `input[: len(numbers)]` are theirs. What is no longer readable as it was is left out.
    """
    rows = rows.filter(pa.array(np.isin(rows["image_id"].to_numpy(), image_id)))
    ids = rows["image_id"].to_numpy()
    source = reading.source_of(config.images)
    for batch in loader.load(source, rows, subj.model.preprocess, batch=BATCH, threads=cores()):
        last = ids[min(batch.first + BATCH, len(ids)) - 1]
        first, stop = np.searchsorted(image_id, ids[batch.first]), np.searchsorted(image_id, last, side="right")
        numbers = np.arange(first, stop)
        place = np.searchsorted(ids, image_id[numbers]) - batch.first
        numbers, place = numbers[batch.valid[place]], place[batch.valid[place]]
        for start in range(0, len(numbers), BATCH):
            piece = np.resize(place[start : start + BATCH], BATCH)
            yield subj.plain_input(torch.from_numpy(batch.pixels[piece])), numbers[start : start + BATCH]


def fill(values: NDArray[Any], device: torch.device) -> Tensor:
    """Return one value per image of a pass: what the positions have, and for those that fill it up the same again."""
    return torch.from_numpy(np.resize(values, BATCH).astype(np.int64)).to(device)


def pass_settings(context: PlanContext, stage: str) -> dict[str, Any]:
    """Return what decides the numbers of a stage that passes chosen images: for its key."""
    return context.model_settings() | {"precision": "fp32", "batch": BATCH, **libraries.of_key(stage)}
