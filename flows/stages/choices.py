"""Choices: keep the classes that the model scores highest for each image, in the pass of collect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.first_choices import TOP, Choices
from flows.model import prepared
from flows.planning import libraries
from flows.planning.tasks import Outcome, Output
from flows.stages.shared.stored_parts import ShardParts
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import tables
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext

FILE = "choices.parquet"


def to_table(choices: Choices, image_id: NDArray[np.int64]) -> pa.Table:
    """Return image_id, rank, class, logit and probability, `TOP` rows for each image that has choices."""
    row, rank = np.nonzero(np.broadcast_to(choices.there[:, None], choices.classes.shape))
    at = row, rank
    columns: dict[str, Any] = {
        "image_id": image_id[row],
        "rank": rank.astype(np.int16),
        "class": choices.classes[at].astype(np.int32),
        "logit": choices.logit[at],
        "probability": pa.array(choices.probability[at], from_pandas=True),  # NaN, of a single score, is null
    }
    return pa.table(columns)


def write(store: Store, output: Output, shard: ShardParts) -> Outcome:
    """Write the choices of a shard's images; those without were rejected, or have scores that are not finite."""
    if shard.choices is None:
        raise RuntimeError(f"{output.title} was planned, but not computed")
    images, used = len(np.unique(shard.choices["image_id"].to_numpy())), shard.facts["reason"].null_count
    with drafting(store, output) as draft:
        tables.write_table(draft.path / FILE, shard.choices, sorting=["image_id"])
        draft.counts = {"images": images, "nonfinite": used - images}
    return outcome(draft)


def wanted(context: PlanContext) -> bool:
    """Tell whether a run makes choices."""
    return "choices" in context.config.extras


def outputs(context: PlanContext, shard: int, index: int) -> list[Output]:
    """Return the output of a shard, the plan's number `index`, where the run makes choices."""
    return [Output(stage="choices", key=keys(context)[index], shard=shard)] if wanted(context) else []


def keys(context: PlanContext) -> list[str]:
    """Return the keys of the choices, in shard order."""

    def make() -> list[str]:
        settings = context.model_settings() | {
            "scores": context.model.model.scores_name,
            "batch": prepared.batch_of(context.config),
            "top": TOP,
            **libraries.of_key("choices"),
        }
        shards = [{"model": context.model.whole, "rows": shard.rows_key} for shard in context.shards]
        return [context.key("choices", reads, settings) for reads in shards]

    return context.cached("choices", make)
