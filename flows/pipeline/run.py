"""The main job: list images → collect shards → merge top-k → lay out → average cells → invert → tile → publish."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flows import progress, registry
from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import model_updates
from flows.pipeline.engines import Engine
from flows.pipeline.layout_frames import Frames
from flows.pipeline.plan import Planner, Step
from flows.pipeline.retry import retry
from flows.pipeline.summary import Summary
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import listing, reading
from storage.artefacts import tables
from storage.errors import ActlasError
from storage.store.store import Contents, Entry, Store

NOT_OF_THE_RESULT = ("images", "store", "name", "until", "max_rejected")
"""Settings that a version need not hold: its results say what they were made from, `about` says where the images are."""


class TooManyRejected(ActlasError):
    """More images were rejected than `--max-rejected` allows; nothing was published."""


def run(
    config: RunConfig,
    engine: Engine,
    *,
    wait: bool = False,
    settle: Callable[[RunConfig], RunConfig] | None = None,
    announced: str | None = None,
) -> Summary:
    """Run the pipeline and publish a version. What the store has is reused; what is killed goes on from there.

    What the store has of the stages behind `until` is published as well, so that readers do not lose it. `settle` gives
    the configuration as the store has it once nobody else writes the run: what was waited for may have changed it.
    `announced` is when its weights were, and goes into the version.

    Raises UnknownLayer and its kin before any image is read, TooManyRejected before anything is published, and Locked if
    another process is writing a run of this name (unless `wait`).
    """
    started = time.time()
    report = progress.current()
    store = Store(Path(config.store))
    prepared.forget()
    reading.forget()
    if settle is None:
        check(config, here=engine.here)  # before anything is written
    with store.lock(config.run_name, wait=wait), store.writing():
        if settle is not None:
            config = settle(config)
            check(config, here=engine.here)
        model = prepared.prepare(config, here=engine.here)
        weights = model_updates.record(config, announced)
        report.say(f"images {config.images}: listing")
        listed, table = retry(lambda: listing.list_images(store, config))
        labelled = retry(lambda: listing.list_labels(store, config, table))
        planner = Planner(config, model, listed.output.key, table, Frames(store, config))
        outcomes = [listed, labelled]
        for step in planner.steps() if config.until != "listing" else []:
            outcomes += _do(store, engine, step)
            if step.stage == "collect":
                _check_rejected(_rejected(store, outcomes), planner.images, config)
        for step in planner.further():
            outcomes += _reused(step, _found(store, step))
        rejected = _rejected(store, outcomes)
        version = _publish(store, config, planner, outcomes, rejected, weights)
    skipped = tuple(grid for grid in config.grids if grid not in planner.grids)
    return Summary(
        name=config.run_name,
        version=version,
        store=config.store,
        images=planner.images,
        rejected=rejected,
        outcomes=tuple(outcomes),
        seconds=time.time() - started,
        skipped_grids=skipped,
    )


def check(config: RunConfig, *, here: bool = True) -> prepared.PreparedModel:
    """Load the model, once the images are known to be there; raise what is wrong with either before any work."""
    retry(lambda: reading.source_of(config.images))
    progress.current().say(f"model {config.model}: loading")
    return retry(lambda: prepared.prepare(config, here=here))


def _do(store: Store, engine: Engine, step: Step) -> list[Outcome]:
    """Run what is missing of a step; return all its outcomes, in the order of the plan."""
    reused = _found(store, step)
    missing = [rest for task in step.tasks if (rest := _rest(task, reused)) is not None]
    if missing:
        progress.current().say(step.stage)
    made = {outcome.output: outcome for outcome in engine.run(missing)}
    there = {outcome.output: outcome for outcome in _reused(step, reused)}
    return [made.get(output) or there[output] for task in step.tasks for output in task.outputs]


def _found(store: Store, step: Step) -> dict[Output, str]:
    """Return the manifests of those results of a step that are there already."""
    there = {output: store.find(output.stage, output.key) for task in step.tasks for output in task.outputs}
    return {output: found.digest for output, found in there.items() if found is not None}


def _reused(step: Step, found: dict[Output, str]) -> list[Outcome]:
    outputs = [output for task in step.tasks for output in task.outputs if output in found]
    return [Outcome(output=output, manifest=found[output], computed=False) for output in outputs]


def _rest(task: Task, reused: dict[Output, str]) -> Task | None:
    outputs = tuple(output for output in task.outputs if output not in reused)
    return replace(task, outputs=outputs) if outputs else None


def _rejected(store: Store, outcomes: list[Outcome]) -> dict[str, int]:
    """Count the rejected images by reason."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        if outcome.output.stage == "images":
            path = store.get("images", outcome.output.key).file("images.parquet")
            counts.update(filter(None, tables.read_table(path, columns=["reason"])["reason"].to_pylist()))
    return dict(sorted(counts.items()))


def _check_rejected(rejected: dict[str, int], images: int, config: RunConfig) -> None:
    """Stop if too many images were rejected."""
    total = sum(rejected.values())
    if total > config.max_rejected * images:
        reasons = ", ".join(f"{number} {reason}" for reason, number in rejected.items())
        raise TooManyRejected(
            f"{total} of {images} images were rejected ({reasons}), more than --max-rejected {config.max_rejected:g} allows; "
            "nothing was published. Mend the images, or allow more and run again: what was collected is kept"
        )


def _publish(
    store: Store,
    config: RunConfig,
    planner: Planner,
    outcomes: list[Outcome],
    rejected: dict[str, int],
    weights: dict[str, str],
) -> int:
    source = reading.source_of(config.images)
    about = {
        "images": source.uri,
        "root": str(source.root),
        "kind": planner.about.kind,
        "containers": list(planner.about.containers),
        "listed": planner.images,
        "ids": planner.shards[-1].stop,
        "rejected": rejected,
        "model": config.model,
        "layers": planner.layers,
        "grids": planner.grids,
        "config": model_updates.whole(config).model_dump(mode="json", exclude={*NOT_OF_THE_RESULT, *_unused(config)}),
    }
    if weights:
        about["weights"] = weights
    if planner.frames:
        about["frames"] = {layer: frame.about() for layer, frame in planner.frames.items()}
    entries = [Entry(stage=o.output.stage, key=o.output.key, manifest=o.manifest, **o.output.place) for o in outcomes]
    return store.publish(config.run_name, Contents(about=about, stages=entries))


def _unused(config: RunConfig) -> set[str]:
    """Return the settings of extras that were not asked for: without them a version reads as it did before they came."""
    return {name for name in ("extras", *registry.extra_settings()) if not getattr(config, name)}
