"""Make an atlas of stored samples of a run: select → lay out → average cells → invert → tile → publish. No image is passed.

What follows from the samples is computed; the listing, the model, the receptive fields and all that is known of units
are the source's own results.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flows import registry
from flows.config import OF_A_SELECTION, SELECTING, RunConfig, option
from flows.model.recorded import RecordedModel
from flows.pipeline import extras, model_updates, settings, steps
from flows.pipeline.engines import Engine, Stored
from flows.pipeline.layout_frames import Frames, check_kind
from flows.pipeline.plan import Step, step_of
from flows.pipeline.retry import retry
from flows.pipeline.summary import Summary
from flows.planning.context import Chosen, Frame, PlanContext, grids_of
from flows.planning.tasks import Outcome, Output
from flows.questions.runs import SelectionRecord, images_of_units, own_images
from flows.stages import image_listing, layout, selection
from flows.stages.selection import Selected
from storage.errors import NotFound, UsageError
from storage.run import Run, open_run
from storage.stage_results import SELECTED
from storage.store.store import Store

PASSING = {*settings.CHOOSING, "limit", "keep"} - {*SELECTING}
"""Settings of a pass over images, which a selection does not make."""

NOT_INHERITED = {*PASSING, *SELECTING, "extras", "until"}
"""Settings of the source that a selection does not have."""


def run(config: RunConfig, engine: Engine, *, wait: bool = False) -> Summary:
    """Select samples of a run, make their atlas and publish it as a run of its own.

    Raises what `plan` raises before anything is computed, and Locked as a run does.
    """
    started = time.time()
    store = Store(Path(config.store))
    check(config)
    with store.lock(config.run_name, wait=wait), store.writing():
        planner = retry(lambda: plan(config, here=engine.here))
        outcomes = [
            *planner.inherited(),
            *(selection.write(store, planner.source, one) for one in planner.chosen_samples),
        ]
        todo = planner.steps()
        if not isinstance(engine, Stored) and any(
            step.stage in NEED_MODEL and steps.missing(store, step) for step in todo
        ):
            _ = planner.recorded.loaded  # before anything is laid out
        for step in todo:
            outcomes += steps.run_step(store, engine, step)
        for step in planner.later_steps():
            outcomes += steps.reuse(step, steps.find_stored(store, step))
        version = steps.publish(store, config.run_name, planner.about_version(), outcomes)
    return Summary(
        name=config.run_name,
        version=version,
        store=config.store,
        images=planner.images,
        rejected={},
        outcomes=tuple(outcomes),
        seconds=time.time() - started,
        skipped_grids=steps.skipped_grids(planner),
    )


NEED_MODEL = ("members", "icons", "attribution")


def plan(config: RunConfig, *, here: bool = True) -> SelectionPlanner:
    """Select the samples and name all results; nothing is written, no image is opened and no model loaded.

    Raises NotFound for a run or layer that is not there, UsageError for settings that contradict the source and for a
    question that selects too little, Incomplete for what the source lacks.
    """
    source, config = resolve(config)
    config = extras.settled(config, _possible_extras(config), lambda: _scores(source, config, here=here))
    chosen = [selection.select(source, config, layer) for layer in config.chosen_layers]
    earlier = Frames(Store(Path(config.store)), config, (source.name, selection.by(config)))
    return SelectionPlanner(source, config, chosen, earlier, here=here)


def _possible_extras(config: RunConfig) -> list[str]:
    return [name for name in registry.extras_of_samples() if steps.reaches(config, registry.stage(name).needs)]


def _scores(source: Run, config: RunConfig, *, here: bool) -> object:
    """Return the class scores of the model; None, without loading it, where the source shows that it has them."""
    if any(registry.stage(entry.stage).scores for entry in source.version.stages):
        return None
    return RecordedModel(source, config, here=here).loaded.model.logits


def check(config: RunConfig) -> None:
    """Check a selection's settings against its source."""
    steps.check_drawing(resolve(config)[1])


def resolve(config: RunConfig) -> tuple[Run, RunConfig]:
    """Return the source of a selection, and the settings with those of the source, whose version they pin."""
    run = open_run(config.store, str(config.of))
    _check_possible(run, config)
    check_kind(run.store, config)
    given, source = _given(config), model_updates.source_config(run, config.store)
    for name in sorted(given - {*OF_A_SELECTION}):
        _check_agrees(run, name, config, source)
    own = {name: getattr(config, name) for name in given & {*OF_A_SELECTION}}
    of_source = {name: getattr(source, name) for name in RunConfig.model_fields if name not in NOT_INHERITED}
    resolved = RunConfig(**(of_source | own | {"of": f"{run.name}@{run.number}"}))
    _check_there(run, resolved)
    return run, resolved


def _check_there(run: Run, resolved: RunConfig) -> None:
    """Raise NotFound for a layer that the source does not have, Incomplete for results that it lacks."""
    for layer in resolved.chosen_layers:
        if layer not in run.layers:
            raise NotFound(
                f"--layers {layer}: {run.name}@{run.number} has no such layer; it has {', '.join(run.layers)}"
            )
        run.sample_results(layer)
        if steps.reaches(resolved, "members"):
            run.result("field", layer)


def _given(config: RunConfig) -> set[str]:
    """Return the settings that were given. A form gives all of them: then those that are not the defaults."""
    given = set(config.model_fields_set)
    if given < set(RunConfig.model_fields):
        return given
    return {name for name, field in RunConfig.model_fields.items() if getattr(config, name) != field.default}


def _check_possible(run: Run, config: RunConfig) -> None:
    """Raise UsageError for settings that no selection has."""
    title = f"{run.name}@{run.number}"
    if config.name == run.name:
        raise UsageError(f"--name {config.name} is the run that --of names; give what it selects a name of its own")
    for name in sorted(PASSING):
        if getattr(config, name):
            raise UsageError(
                f"{option(name)} is of a pass over images, and --of {title} makes none; drop it, or use --where"
            )
    if config.until is not None and config.until not in registry.steps_of_samples():
        may = ", ".join(registry.steps_of_samples()[:-1])
        raise UsageError(f"--until {config.until}: --of {title} passes no image; it can stop after {may}")
    for name in config.extras:
        if name not in (registry.EVERYTHING, *registry.extras_of_samples()):
            of = "images" if registry.stage(name).needs == "collect" else "units"
            raise UsageError(
                f"--with {name}: {name} is of {of}, which a selection has from {title}; add it to that run"
            )


def _check_agrees(run: Run, name: str, config: RunConfig, source: RunConfig) -> None:
    """Raise UsageError where a setting is another than the source's."""
    value, before = getattr(model_updates.with_absolute_files(config), name), getattr(source, name)
    if value != before:
        raise UsageError(
            f"{option(name)} {value} contradicts {run.name}@{run.number}, which was made with {before}; drop it"
        )


class SelectionPlanner(PlanContext):
    """Name the results of a selection. Its samples are those of `chosen`, a selection of each layer."""

    def __init__(
        self, source: Run, config: RunConfig, chosen: list[Selected], earlier: Frames, *, here: bool = True
    ) -> None:
        self.source, self.chosen_samples = source, chosen
        self.recorded = RecordedModel(source, config, here=here)
        self.selected = {one.layer: selection.key(source, one) for one in chosen}
        listing = source.result("listing").key
        ids = np.unique(np.concatenate([one.image_id for one in chosen]))
        rows = image_listing.read(source.store, listing)
        super().__init__(config, self.recorded, listing, rows, Chosen(key="", ids=ids))
        self.samples = max(len(one.numbers) for one in chosen)
        self.grids = grids_of(min(len(one.numbers) for one in chosen), config)
        self._know_results()
        frames = {layer: self._frame(layer, earlier) for layer in self.layers}
        self.frames = {layer: frame for layer, frame in frames.items() if frame is not None}

    def _know_results(self) -> None:
        """Take the keys of sizes and receptive fields from the source, where it has them."""
        keys = [entry.key for entry in self.source.version.stages if entry.stage == "images"]
        self.cached("images", lambda: keys)
        for entry in self.source.version.stages:
            if entry.stage == "field":
                self.cached(("field", entry.layer), lambda key=entry.key: key)  # type: ignore[misc]

    def _expected(self) -> dict[str, Any]:
        return {"fingerprints": dict(self.recorded.fingerprints)}

    def _frame(self, layer: str, earlier: Frames) -> Frame | None:
        return earlier.choose(layer, [self.selected_key(layer)], lambda frame: layout.key_in(self, layer, frame))

    def selected_key(self, layer: str) -> str:
        """Return the key of a layer's selected samples."""
        return dict(self.selected or {})[layer]

    def inherited(self) -> Iterator[Outcome]:
        """Yield the results that a selection has from its source."""
        for entry in self.source.version.stages:
            if (
                entry.stage in SELECTED
                and (entry.layer is None or entry.layer in self.layers)
                and self._leads_on(entry)
            ):
                output = Output(stage=entry.stage, key=entry.key, layer=entry.layer, shard=entry.shard, grid=entry.grid)
                yield Outcome(output=output, manifest=entry.manifest, computed=False)

    def selections(self) -> list[Output]:
        """Return the selected samples of each layer as planned results."""
        return [Output(stage="selection", key=self.selected_key(layer), layer=layer) for layer in self.layers]

    def _leads_on(self, entry: Any) -> bool:
        """Tell whether the layer that a layer's influence is on is among those of the selection."""
        if entry.stage != "influence":
            return True
        ordered = [record["name"] for record in self.source.model["layers"]]
        later = [name for name in ordered[ordered.index(entry.layer) + 1 :] if name in self.source.layers]
        return bool(later) and later[0] in self.layers

    def steps(self) -> list[Step]:
        """Return the steps up to the one the configuration stops after; then the configured extras."""
        names = [name for name in registry.steps_of_samples() if steps.reaches(self.config, name)]
        added = [name for name in self.config.extras if registry.stage(name).needs in names]
        return [step_of(self, name) for name in (*names, *added)]

    def later_steps(self) -> list[Step]:
        """Return the steps after the one the configuration stops after, as far as no model need be loaded to name them."""
        names = [name for name in registry.steps_of_samples() if not steps.reaches(self.config, name)]
        return [step_of(self, name) for name in names if self.source.has("field", self.layers[0])]

    def about_version(self) -> dict[str, Any]:
        """Return what the version records: what the source recorded of images and model, and what is selected."""
        about, layers = self.source.version.about, self.layers
        kept = (
            "images",
            "root",
            "kind",
            "containers",
            "ids",
            "model",
            "fingerprints",
            "no_scores",
            "varying",
            "weights",
        )
        return {
            **{name: about[name] for name in kept if name in about},
            "listed": self.images,
            "rejected": {},
            "layers": layers,
            "grids": self.grids,
            "config": settings.recorded(self.config),
            "selection": self.selection_record(),
            **self.frame_records(),
        }

    def selection_record(self) -> SelectionRecord:
        """Return what is selected, and of what."""
        return {
            "of": self.source.name,
            "version": self.source.number,
            "by": selection.by(self.config),
            "images": self.images,
            "of_images": own_images(self.source),
            "images_of_units": images_of_units(self.source),
            "layers": {one.layer: one.record for one in self.chosen_samples},
        }
