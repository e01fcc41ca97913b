"""Summarise a run: counts per stage and layer, samples, bytes, overview pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from flows.config import RunConfig
from flows.pipeline.answers import Overview, RunCounts, RunSummary, SampleCounts, StageRow
from flows.planning.tasks import Outcome
from flows.stages.shared import sample_reads
from flows.stages.shared.left_out import LeftOut
from storage.artefacts import samples
from storage.run import open_run
from storage.store.store import Result, Store


def with_overviews(config: RunConfig, summary: Summary) -> RunSummary:
    """Return the summary as plain values, with the run's pictures, its samples and the bytes it wrote."""
    store, run = Store(Path(config.store)), open_run(config.store, f"{summary.name}@{summary.version}")
    places = [(str(o.output.layer), int(o.output.grid or 0)) for o in summary.outcomes if o.output.stage == "tiles"]
    pictures = [Overview(layer=layer, grid=grid, path=str(run.overview(layer, grid))) for layer, grid in places]
    answer = summary.as_dict()
    written = _count_bytes(store, summary)
    for row in answer["stages"]:
        row["bytes"] = written[row["stage"], row["layer"]]
    selected = {"selection": run.version.about["selection"]} if run.is_selection else {}
    return cast(RunSummary, {**answer, "samples": _count_samples(store, summary), "overviews": pictures, **selected})


def _count_bytes(store: Store, summary: Summary) -> Counter[tuple[str, str | None]]:
    """Count the bytes of the results that were computed, by stage and layer."""
    counts: Counter[tuple[str, str | None]] = Counter()
    for output in [outcome.output for outcome in summary.outcomes if outcome.computed]:
        files = store.get(output.stage, output.key).manifest["files"].values()
        counts[output.stage, output.layer] += sum(int(file["bytes"]) for file in files)
    return counts


def _count_samples(store: Store, summary: Summary) -> list[SampleCounts]:
    """Return, for each layer, how many samples are used, and how many are left out as not finite."""
    by_layer: dict[str, list[Result]] = {}
    for outcome in summary.outcomes:
        if outcome.output.stage in sample_reads.STAGES:
            result = store.get(outcome.output.stage, outcome.output.key)
            by_layer.setdefault(str(outcome.output.layer), []).append(result)
    return [{"layer": layer, **samples.total_counts(results)} for layer, results in by_layer.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The outcome of a run. `outcomes` are in the order of the stages."""

    name: str
    version: int
    store: str
    images: int
    rejected: dict[str, int]
    outcomes: tuple[Outcome, ...]
    seconds: float
    left_out: LeftOut = field(default_factory=LeftOut)
    skipped_grids: tuple[int, ...] = ()

    def as_dict(self) -> RunCounts:
        """Return the summary as plain values."""
        computed = sum(outcome.computed for outcome in self.outcomes)
        return {
            "name": self.name,
            "version": self.version,
            "store": self.store,
            "images": self.images,
            "used": self.images - sum(self.rejected.values()),
            "rejected": sum(self.rejected.values()),
            "reasons": self.rejected,
            **self.left_out.as_dict(),
            "computed": computed,
            "reused": len(self.outcomes) - computed,
            "skipped_grids": list(self.skipped_grids),
            "seconds": round(self.seconds, 2),
            "stages": _by_stage(self.outcomes),
        }


def _by_stage(outcomes: Iterable[Outcome]) -> list[StageRow]:
    """Return, per stage and layer, how many results were computed and reused, and the seconds it took."""
    rows: dict[tuple[str, str | None], StageRow] = {}
    for outcome in outcomes:
        stage, layer = outcome.output.stage, outcome.output.layer
        blank = StageRow(stage=stage, layer=layer, computed=0, reused=0, seconds=0.0)
        row = rows.setdefault((stage, layer), blank)
        row["computed" if outcome.computed else "reused"] += 1
        row["seconds"] = round(row["seconds"] + outcome.seconds, 3)
    return list(rows.values())
