"""What a run leaves out: entries that are not listed, images without a label, keys of the label table without an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from flows import progress
from flows.stages.shared.label_table import LabelTable
from storage.images import left_out
from storage.images.listing import about
from storage.images.shards import living


class LeftOutCounts(TypedDict):
    """What a run leaves out: counts by reason, the keys of the label table, and the remedy of each reason that has one."""

    not_listed: dict[str, int]
    not_labelled: dict[str, int]
    label_keys: dict[str, int]
    remedies: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Counts by reason, and `label_keys`: how many keys the label table has, and how many are an image's."""

    not_listed: dict[str, int] = field(default_factory=dict)
    not_labelled: dict[str, int] = field(default_factory=dict)
    label_keys: dict[str, int] = field(default_factory=dict)

    def about(self) -> dict[str, Any]:
        """Return the record of it in a version; a version that leaves nothing out has none."""
        return {name: counts for name, counts in asdict(self).items() if counts}

    def as_dict(self) -> LeftOutCounts:
        """Return the counts, and the remedy of each reason that has one."""
        return LeftOutCounts(
            not_listed=self.not_listed,
            not_labelled=self.not_labelled,
            label_keys=self.label_keys,
            remedies=left_out.remedies([*self.not_listed, *self.not_labelled]),
        )

    def say(self) -> None:
        """Report each count, with its remedy."""
        for name, counts in (("not listed", self.not_listed), ("not labelled", self.not_labelled)):
            for words in left_out.words(counts):
                progress.current().say(f"  {name}: {words}")


def count(table: pa.Table, images: pa.Table, labels: pa.Table, given: LabelTable | None) -> LeftOut:
    """Count what a run over these `images` of a listing leaves out; `labels` are those of the whole listing."""
    listed = about(table)
    unlabelled = images["key"].filter(pc.is_null(labels["label"].take(images["image_id"])))
    keys = living(table)["key"].to_pylist() if given else []
    return LeftOut(
        not_listed=dict(sorted(listed.refused.items())),
        not_labelled=_reasons(unlabelled, listed.unlabelled, given),
        label_keys=given.check_matches(keys) if given and keys else {},
    )


def _reasons(unlabelled: pa.ChunkedArray, dropped: Mapping[str, int], given: LabelTable | None) -> dict[str, int]:
    """Share out the images without a label, given by their keys, among the reasons: labels that were `dropped` first."""
    counts: Counter[str] = Counter()
    rest = len(unlabelled)
    for reason, number in sorted(dropped.items()):
        counts[reason] = min(number, rest)
        rest -= counts[reason]
    missing = sum(key not in given.labels for key in unlabelled.to_pylist()) if given else 0
    counts["not-in-table"] = min(missing, rest)
    counts["no-label"] = rest - counts["not-in-table"]
    return dict(sorted((+counts).items()))
