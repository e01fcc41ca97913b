"""The images of a run: list them, look up their labels, choose among them, and count what is left out."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from flows import progress
from flows.config import RunConfig
from flows.planning.context import Chosen
from flows.planning.tasks import Outcome, Output
from flows.stages import image_listing, subset
from flows.stages.shared import left_out
from flows.stages.shared.left_out import LeftOut
from flows.stages.subset import Subset
from storage.errors import UsageError
from storage.images.shards import living
from storage.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class RunImages:
    """A run's images: the rows of their listing and its key, their labels, the subset that is used, and what is left out."""

    listing: str
    table: pa.Table
    outputs: tuple[Output, ...]
    labels: pa.Table
    subset: Subset | None
    left: LeftOut

    @property
    def chosen(self) -> Chosen | None:
        """What the plan needs to know of the subset."""
        return Chosen(key=self.outputs[-1].key, ids=self.subset.ids) if self.subset is not None else None


def plan(config: RunConfig, listed: Output, table: pa.Table) -> RunImages:
    """Look up the labels of listed images, choose among them, and say what is left out; nothing is written."""
    if not len(living(table)):
        raise UsageError(f"--images {config.images}: all images listed before are gone from there")
    labelled, labels, given = image_listing.plan_labels(config, table)
    outputs, chosen, images = [listed, labelled], None, living(table, config.limit)
    if subset.is_asked_for(config):
        output, chosen = subset.plan_subset(config, table, labels)
        outputs.append(output)
        images = table.take(pa.array(chosen.ids))
    left = left_out.count(table, images, labels, given)
    left.say()
    if given is not None and (remark := given.remark(living(table)["key"].to_pylist())):
        progress.current().say(f"  {remark}")
    return RunImages(listing=listed.key, table=table, outputs=tuple(outputs), labels=labels, subset=chosen, left=left)


def make(store: Store, config: RunConfig) -> tuple[list[Outcome], RunImages]:
    """List the images, and write the listing, the labels and the subset where they are not stored."""
    listed, table = image_listing.list_images(store, config)
    images = plan(config, listed.output, table)
    outcomes = [listed, image_listing.list_labels(store, images.outputs[1], images.labels)]
    if images.subset is not None:
        outcomes.append(subset.write(store, images.outputs[2], images.subset))
    return outcomes, images
