"""The stage results of one version of a run, by stage, layer and grid, and why one is missing."""

from __future__ import annotations

from storage.errors import Incomplete, NotFound
from storage.store.results import Result
from storage.store.store import Store
from storage.store.versions import Entry, Version

ALWAYS = (
    *("listing", "labels", "model", "images", "collect", "field", "patches"),
    *("layout", "moment", "cells", "members", "icons", "tiles"),
)
"""Stages that every run has unless it stopped before; any other is made by `--with` alone."""

SELECTED = (
    "listing",
    "labels",
    "subset",
    "model",
    "images",
    "choices",
    "field",
    "patches",
    "influence",
    "gradients",
    "meaning",
    "gallery",
)
"""Stages that a selection has from its source: what they hold does not depend on which samples are selected."""

ON_THE_NEXT = ("influence",)
"""Stages of which the last layer of a run has none: they say what a layer does to the next."""

KEPT = {"peaks": "run it again with --keep peaks"}
"""Stages that `--keep` alone makes, some of them of some layers only, each with what makes it."""


class StageResults:
    """The results of all stages of a version, each opened when it is first asked for."""

    def __init__(self, store: Store, version: Version) -> None:
        self.store, self.version = store, version
        self._by_place: dict[tuple[str, str | None, int | None], list[Entry]] = {}
        self._opened: dict[tuple[str, str | None, int | None], list[Result]] = {}
        for entry in version.stages:
            self._by_place.setdefault((entry.stage, entry.layer, entry.grid), []).append(entry)

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.version.name

    @property
    def number(self) -> int:
        """The number of the version."""
        return self.version.number

    @property
    def layers(self) -> list[str]:
        """The run's layers, in the order given to the run."""
        return list(self.version.about["layers"])

    @property
    def grids(self) -> list[int]:
        """The sides of the run's grids, in cells."""
        return list(self.version.about["grids"])

    def results(self, stage: str, layer: str | None = None, grid: int | None = None) -> list[Result]:
        """Return the stage's results for a layer and grid, in the order of their shards.

        Raises NotFound for a layer or grid the run does not have, Incomplete for a stage it did not reach.
        """
        place = (stage, layer, grid)
        if place not in self._by_place:
            raise self._missing(stage, layer, grid)
        if place not in self._opened:
            self._opened[place] = [self.store.get(stage, entry.key, entry.manifest) for entry in self._by_place[place]]
        return self._opened[place]

    def result(self, stage: str, layer: str | None = None, grid: int | None = None) -> Result:
        """Return the only result of a stage, or its first shard. Raises as `results` does."""
        return self.results(stage, layer, grid)[0]

    def has(self, stage: str, layer: str | None = None, grid: int | None = None) -> bool:
        """Tell whether the version has a result of the stage for a layer and grid."""
        return (stage, layer, grid) in self._by_place

    @property
    def is_selection(self) -> bool:
        """Whether the version has samples selected from those of another run."""
        return "selection" in self.version.about

    def sample_results(self, layer: str) -> list[Result]:
        """Return the results that hold a layer's samples: those of its shards, or that of a selection.

        Raises as `results` does.
        """
        return self.results("selection" if self.is_selection else "collect", layer)

    def has_samples(self, layer: str) -> bool:
        """Tell whether the version has samples of a layer."""
        return self.has("selection" if self.is_selection else "collect", layer)

    def _optional(self, stage: str, layer: str, grid: int) -> Result | None:
        """Return the only result of a stage for a layer and grid, None where the version has none."""
        return self.result(stage, layer, grid) if self.has(stage, layer, grid) else None

    @staticmethod
    def check_unit(result: Result, layer: str, unit: int) -> None:
        """Raise NotFound for a unit that a result of a layer does not have."""
        units = result.counts["units"]
        if not 0 <= unit < units:
            raise NotFound(f"{layer} has no unit {unit}; its units are 0 to {units - 1}")

    def _missing(self, stage: str, layer: str | None, grid: int | None) -> Exception:
        if layer is not None and layer not in self.layers:
            return NotFound(f"{self.name} has no layer {layer!r}; it has {', '.join(self.layers)}")
        cut_short = stage in ALWAYS and not any(entry.stage == stage for entry in self.version.stages)
        if grid is not None and grid not in self.grids and (not cut_short or not self.grids):
            has = ", ".join(map(str, self.grids)) or "none: too few samples for one cell"
            return NotFound(f"{self.name} has no grid {grid}; it has {has}")
        if stage in ON_THE_NEXT and layer is not None and self._is_last(layer):
            return NotFound(f"{self.name} has no {stage} of {layer}: no layer of the run comes after it")
        if self.is_selection and (stage in KEPT or stage in SELECTED):
            what = stage if layer is None else f"{stage} of {layer}"
            source = "{of}@{version}".format(**self.version.about["selection"])
            return Incomplete(f"{self.name}@{self.number} has no {what}, a selection: not taken over; ask {source}")
        if stage in KEPT:
            return Incomplete(f"{self.name}@{self.number} has no {stage} of {layer}: {KEPT[stage]}")
        remedy = (
            f"run it again with --with {stage}"
            if stage not in ALWAYS
            else "it stopped before; run it again without --until"
        )
        return Incomplete(f"{self.name}@{self.number} has no {stage} yet: {remedy}")

    def _is_last(self, layer: str) -> bool:
        """Tell whether no layer of the run comes after this one, as far as the run knows its model."""
        records = self.result("model").record("model.json")["layers"] if self.has("model") else []
        return [record["name"] for record in records if record["name"] in self.layers][-1:] == [layer]
