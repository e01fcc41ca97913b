"""Run the pipeline: list images → collect shards → merge top-k → lay out → average cells → invert → tile → publish."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from flows import progress, registry
from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import format1, growth, model_updates, run_images
from flows.pipeline.engines import Engine
from flows.pipeline.layout_frames import Frames
from flows.pipeline.plan import Planner, Step
from flows.pipeline.retry import retry
from flows.pipeline.run_images import RunImages
from flows.pipeline.summary import Summary
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import icons
from flows.stages.shared import reading
from storage.artefacts import tables
from storage.errors import ActlasError
from storage.store.store import Contents, Entry, Store

NOT_OF_THE_RESULT = ("images", "store", "name", "until", "max_rejected")
"""Settings that a version need not record: they change no result, or `about` has them."""

CHOOSING = ("grow", "image_keys", "where", "table", "per_label", "sample")
"""Settings that choose among the images."""


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
    if settle is None:
        check(config, here=engine.here)  # before anything is written
    with store.lock(config.run_name, wait=wait), store.writing():
        standing = model_updates.standing(config)
        if settle is not None:
            config = settle(config)
            check(config, here=engine.here)
        config = growth.grown(store, config)
        model = prepared.prepare(config, here=engine.here)
        weights = model_updates.record(config, announced)
        report.say(f"images {config.images}: listing")
        outcomes, images = retry(lambda: run_images.make(store, config))
        planner = Planner(config, model, images.listing, images.table, Frames(store, config), images.chosen)
        if (old := format1.plan(store, config, model, images.listing, images.table)) is not None:
            _take_over(store, planner, old)
        for step in planner.steps() if config.until != "listing" else []:
            outcomes += _run_step(store, engine, step)
            if step.stage == "collect":
                _say_kinds(store, outcomes)
                _check_rejected(_count_rejected(store, outcomes), planner.images, config)
        for step in planner.later_steps():
            outcomes += _reuse(step, _find_stored(store, step))
        rejected = _count_rejected(store, outcomes)
        version = _publish(store, config, planner, outcomes, rejected, weights, images)
        model_updates.conclude(config, standing, settled=settle is not None)
    skipped = tuple(grid for grid in config.grids if grid not in planner.grids)
    return Summary(
        name=config.run_name,
        version=version,
        store=config.store,
        images=planner.images,
        rejected=rejected,
        left_out=images.left,
        outcomes=tuple(outcomes),
        seconds=time.time() - started,
        skipped_grids=skipped,
    )


def check(config: RunConfig, *, here: bool = True) -> prepared.PreparedModel:
    """Find the images, then load the model; raise what is wrong with either, or with the icons' size, before any work."""
    if draws(config):
        icons.check_size(config)
    retry(lambda: reading.source_of(config))
    report = progress.current()
    report.say(f"model {config.model}: loading")
    model = retry(lambda: prepared.prepare(config, here=here))
    if model.note:
        report.say(f"model {config.model}: {model.note}; it is identified by its code instead of its outputs")
    return model


def _take_over(store: Store, planner: Planner, old: format1.Format1Planner) -> None:
    progress.current().say("results of format 1: taking them over")
    format1.adopt_frames(store, planner, old)
    number = format1.take_over(store, format1.old_keys(planner, old))
    progress.current().say(f"results of format 1: {number} taken over")


def draws(config: RunConfig) -> bool:
    """Tell whether a run draws icons, or the pictures of its units."""
    steps = registry.steps()
    return "gallery" in config.extras or steps.index(config.until or steps[-1]) >= steps.index("icons")


def _run_step(store: Store, engine: Engine, step: Step) -> list[Outcome]:
    """Compute the missing outputs of a step; return all its outcomes, in the order of the plan."""
    stored = _find_stored(store, step)
    missing = [rest for task in step.tasks if (rest := _without_stored(task, stored)) is not None]
    if missing:
        progress.current().say(step.stage)
    computed = {outcome.output: outcome for outcome in engine.run(missing)}
    reused = {outcome.output: outcome for outcome in _reuse(step, stored)}
    return [computed.get(output) or reused[output] for task in step.tasks for output in task.outputs]


def _find_stored(store: Store, step: Step) -> dict[Output, str]:
    """Return the manifests' digests of the stored outputs of a step."""
    results = {output: store.find(output.stage, output.key) for task in step.tasks for output in task.outputs}
    return {output: result.digest for output, result in results.items() if result is not None}


def _reuse(step: Step, stored: dict[Output, str]) -> list[Outcome]:
    outputs = [output for task in step.tasks for output in task.outputs if output in stored]
    return [Outcome(output=output, manifest=stored[output], computed=False) for output in outputs]


def _without_stored(task: Task, stored: dict[Output, str]) -> Task | None:
    """Return the task for its missing outputs, None if there are none."""
    outputs = tuple(output for output in task.outputs if output not in stored)
    return replace(task, outputs=outputs) if outputs else None


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
    source, settings = reading.source_of(config), model_updates.with_absolute_files(config)
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
        "config": settings.model_dump(mode="json", exclude={*NOT_OF_THE_RESULT, *_unused(config)}),
    }
    about |= images.left.about()
    if images.subset is not None:
        about["subset"] = images.subset.about()
    if planner.model.note:
        about["fingerprints"] = planner.model.note
    if weights:
        about["weights"] = weights
    if planner.model.varying:
        about["varying"] = planner.model.varying
    if planner.frames:
        about["frames"] = {layer: frame.about() for layer, frame in planner.frames.items()}
    entries = [Entry(stage=o.output.stage, key=o.output.key, manifest=o.manifest, **o.output.place) for o in outcomes]
    return store.publish(config.run_name, Contents(about=about, stages=entries))


def _unused(config: RunConfig) -> set[str]:
    """Return the optional settings that are not in use, so that versions without them read as before there were any."""
    optional = ("extras", "keep", "logits", "allow_varying", "image_column", *CHOOSING, *registry.extra_settings())
    return {name for name in optional if not getattr(config, name)}
