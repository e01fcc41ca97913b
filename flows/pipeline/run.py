"""Run the pipeline: list images → collect shards → merge top-k → lay out → average cells → invert → tile → publish."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from flows import progress
from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import (
    extras,
    format1,
    growth,
    layout_frames,
    model_updates,
    run_images,
    selections,
    settings,
    steps,
)
from flows.pipeline.engines import Engine
from flows.pipeline.layout_frames import Frames
from flows.pipeline.plan import Planner
from flows.pipeline.retry import retry
from flows.pipeline.run_images import RunImages
from flows.pipeline.summary import Summary
from flows.planning.tasks import Outcome
from flows.stages.shared import reading
from storage.artefacts import tables
from storage.errors import ActlasError
from storage.models.scores import NoScores
from storage.store.store import Store


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
    """Run the pipeline and publish a version. Stored results are reused, so that a killed run goes on where it stopped.

    Stored results of the stages after `until` are published as well, so that readers do not lose them. `settle` updates
    the configuration under the run's lock, as the run waited for may have changed it. `announced` is when its weights
    were, and goes into the version.

    Raises UnknownLayer and its kin before any image is read, TooManyRejected before anything is published, and Locked if
    another process is writing a run of this name (unless `wait`).
    """
    started = time.time()
    report = progress.current()
    store = Store(Path(config.store))
    store.check_writable()
    prepared.forget()
    reading.forget()
    if config.of is not None:
        return selections.run(config, engine, wait=wait)
    if settle is None:
        check(config, here=engine.here)  # before anything is written
    with store.lock(config.run_name, wait=wait), store.writing():
        layout_frames.check_kind(store, config)
        standing = model_updates.standing(config)
        if settle is not None:
            config = settle(config)
            check(config, here=engine.here)
        config = growth.grown(store, config)
        model = prepared.prepare(config, here=engine.here)
        config = extras.of_run(config, model.model)
        weights = model_updates.record(config, announced)
        report.say(f"images {config.images}: listing")
        outcomes, images = retry(lambda: run_images.make(store, config))
        planner = Planner(config, model, images.listing, images.table, Frames(store, config), images.chosen)
        if (old := format1.plan(store, config, model, images.listing, images.table)) is not None:
            _take_over(store, planner, old)
        for step in planner.steps() if config.until != "listing" else []:
            outcomes += steps.run_step(store, engine, step)
            if step.stage == "collect":
                _say_kinds(store, outcomes)
                _check_rejected(_count_rejected(store, outcomes), planner.images, config)
        for step in planner.later_steps():
            outcomes += steps.reuse(step, steps.find_stored(store, step))
        rejected = _count_rejected(store, outcomes)
        version = _publish(store, config, planner, outcomes, rejected, weights, images)
        model_updates.conclude(config, standing, settled=settle is not None)
    return Summary(
        name=config.run_name,
        version=version,
        store=config.store,
        images=planner.images,
        rejected=rejected,
        left_out=images.left,
        outcomes=tuple(outcomes),
        seconds=time.time() - started,
        skipped_grids=steps.skipped_grids(planner),
    )


def check(config: RunConfig, *, here: bool = True) -> None:
    """Find the images, then load the model; raise what is wrong with either, or with the icons' size, before any work.

    Of a selection, check its settings against its source.
    """
    if config.of is not None:
        selections.check(config)
        return
    layout_frames.check_kind(Store(Path(config.store)), config)
    steps.check_drawing(config)
    retry(lambda: reading.source_of(config))
    report = progress.current()
    report.say(f"model {config.model}: loading")
    model = retry(lambda: prepared.prepare(config, here=here))
    if model.note:
        report.say(f"model {config.model}: {model.note}; it is identified by its code instead of its outputs")


def _take_over(store: Store, planner: Planner, old: format1.Format1Planner) -> None:
    progress.current().say("results of format 1: taking them over")
    format1.adopt_frames(store, planner, old)
    number = format1.take_over(store, format1.old_keys(planner, old))
    progress.current().say(f"results of format 1: {number} taken over")


def _count_rejected(store: Store, outcomes: list[Outcome]) -> dict[str, int]:
    """Count the rejected images by reason."""
    return dict(sorted(Counter(reason for reason, _ in _rejections(store, outcomes)).items()))


def _say_kinds(store: Store, outcomes: list[Outcome]) -> None:
    """Report the formats that could not be read, and what is no image but something known: a suffix does not tell."""
    counts = Counter((reason, detail) for reason, detail in _rejections(store, outcomes) if _is_kind(reason, detail))
    for (reason, detail), number in sorted(counts.items()):
        progress.current().say(f"  rejected: {number:,} {reason}, {detail}")


def _is_kind(reason: str, detail: str) -> bool:
    return reason == "unsupported" or (reason == "not-an-image" and detail.startswith("is "))


def _rejections(store: Store, outcomes: list[Outcome]) -> Iterator[tuple[str, str]]:
    """Yield reason and detail of each rejected image."""
    for outcome in outcomes:
        if outcome.output.stage == "images" and (result := store.get("images", outcome.output.key)).counts["rejected"]:
            facts = tables.read_table(result.file("images.parquet"), columns=["reason", "detail"])
            pairs = zip(facts["reason"].to_pylist(), facts["detail"].to_pylist(), strict=True)
            yield from ((reason, detail) for reason, detail in pairs if reason)


def _check_rejected(rejected: dict[str, int], images: int, config: RunConfig) -> None:
    """Raise TooManyRejected if the rejected images exceed the allowed share."""
    total = sum(rejected.values())
    if total > config.max_rejected * images:
        reasons = ", ".join(f"{number} {reason}" for reason, number in rejected.items())
        raise TooManyRejected(
            f"{total} of {images} images were rejected ({reasons}), more than --max-rejected {config.max_rejected:g} allows; "
            "nothing was published. Fix the images, or allow more, and run again; what was collected is kept"
        )


def _publish(
    store: Store,
    config: RunConfig,
    planner: Planner,
    outcomes: list[Outcome],
    rejected: dict[str, int],
    weights: dict[str, str],
    images: RunImages,
) -> int:
    source = reading.source_of(config)
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
        "config": settings.recorded(config),
    }
    about |= images.left.about()
    if images.subset is not None:
        about["subset"] = images.subset.about()
    if planner.model.note:
        about["fingerprints"] = planner.model.note
    if weights:
        about["weights"] = weights
    if isinstance(planner.model.model.logits, NoScores):
        about["no_scores"] = planner.model.model.logits.reason
    if planner.model.varying:
        about["varying"] = planner.model.varying
    about |= planner.frame_records()
    return steps.publish(store, config.run_name, about, outcomes)
