"""Pass the images of chosen positions through the model in batches; each image is read and decoded once."""

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
from flows.stages.shared import reading
from storage.images import loader

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


BATCH = 32
"""Images per pass: always the same number, so that no result depends on how many are left."""


def passes(
    model: PreparedModel, config: RunConfig, rows: pa.Table, image_id: NDArray[np.int64]
) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """Yield the input `b c h w` for positions of the images `image_id` (ascending), and the numbers of the positions.

    `rows` is the listing. A short batch is padded by repeating positions; the real ones come first, so
    `input[: len(numbers)]` are theirs. Images that cannot be read any more, or have changed, are left out.
    """
    rows = rows.filter(pa.array(np.isin(rows["image_id"].to_numpy(), image_id)))
    ids = rows["image_id"].to_numpy()
    source = reading.source_of(config)
    for batch in loader.load(source, rows, model.model.preprocess, batch=BATCH, threads=cores()):
        last = ids[min(batch.first + BATCH, len(ids)) - 1]
        first, stop = np.searchsorted(image_id, ids[batch.first]), np.searchsorted(image_id, last, side="right")
        numbers = np.arange(first, stop)
        place = np.searchsorted(ids, image_id[numbers]) - batch.first
        numbers, place = numbers[batch.valid[place]], place[batch.valid[place]]
        for start in range(0, len(numbers), BATCH):
            slots = np.resize(place[start : start + BATCH], BATCH)
            yield model.plain_input(torch.from_numpy(batch.pixels[slots])), numbers[start : start + BATCH]


def fill_batch(values: NDArray[Any], device: torch.device) -> Tensor:
    """Return one value per image of a pass, padded by repetition as the images are."""
    return torch.from_numpy(np.resize(values, BATCH).astype(np.int64)).to(device)


def pass_settings(context: PlanContext, stage: str) -> dict[str, Any]:
    """Return the settings that enter the key of a stage that passes chosen images."""
    return context.model_settings() | {"precision": "fp32", "batch": BATCH, **libraries.of_key(stage)}
