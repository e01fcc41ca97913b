"""Carry out the steps of a plan: reuse what is stored, and have the engine compute the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flows import progress, registry
from flows.config import RunConfig
from flows.pipeline.engines import Engine
from flows.pipeline.plan import Step
from flows.planning.context import PlanContext
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import icons
from storage.store.store import Contents, Entry, Store


def check_drawing(config: RunConfig) -> None:
    """Raise UsageError if a run draws icons, or the pictures of its units, and they are too small for the recipe."""
    if {"gallery", registry.EVERYTHING} & {*config.extras} or reaches(config, "icons"):
        icons.check_size(config)


def reaches(config: RunConfig, step: str) -> bool:
    """Tell whether a run goes on to a step, or past it."""
    steps = registry.steps()
    return steps.index(config.until or steps[-1]) >= steps.index(step)


def skipped_grids(planner: PlanContext) -> tuple[int, ...]:
    """Return the configured grids that the samples are too few to fill."""
    return tuple(grid for grid in planner.config.grids if grid not in planner.grids)


def publish(store: Store, name: str, about: Mapping[str, Any], outcomes: Sequence[Outcome]) -> int:
    """Publish a version of these results, and return its number."""
    entries = [Entry(stage=o.output.stage, key=o.output.key, manifest=o.manifest, **o.output.place) for o in outcomes]
    return store.publish(name, Contents(about=about, stages=entries))


def run_step(store: Store, engine: Engine, step: Step) -> list[Outcome]:
    """Compute the missing outputs of a step; return all its outcomes, in the order of the plan."""
    stored = find_stored(store, step)
    todo = _needed(store, [rest for task in step.tasks if (rest := _without_stored(task, stored)) is not None])
    if todo:
        progress.current().say(step.stage)
    computed = {outcome.output: outcome for tasks in rounds(todo) for outcome in engine.run(tasks)}
    reused = {outcome.output: outcome for outcome in reuse(step, stored)}
    return [computed.get(output) or reused[output] for output in step.outputs]


def rounds(tasks: Sequence[Task]) -> list[list[Task]]:
    """Cut tasks into rounds: each reads only what earlier rounds make, or what is there."""
    cut: list[list[Task]] = []
    round_of: dict[str, int] = {}
    for task in tasks:
        number = max((round_of[key] + 1 for key in _keys(task.reads) if key in round_of), default=0)
        round_of |= {output.key: number for output in task.outputs}
        cut += [[]] if number == len(cut) else []
        cut[number].append(task)
    return cut


def _needed(store: Store, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks; of those between, only the missing results that a later one reads."""
    needed: list[Task] = []
    read: set[str] = set()
    for task in reversed(tasks):
        outputs = tuple(o for o in task.outputs if o.key in read and store.find(o.stage, o.key) is None)
        if outputs or not task.between:
            needed.append(replace(task, outputs=outputs) if task.between else task)
            read.update(_keys(task.reads))
    return needed[::-1]


def _keys(reads: Any) -> Iterator[str]:
    """Yield the keys that a task reads, however they are grouped."""
    if isinstance(reads, str):
        yield reads
    elif isinstance(reads, Mapping):
        yield from _keys(list(reads.values()))
    elif isinstance(reads, Iterable):
        for part in reads:
            yield from _keys(part)


def find_stored(store: Store, step: Step) -> dict[Output, str]:
    """Return the manifests' digests of the stored outputs of a step."""
    results = {output: store.find(output.stage, output.key) for output in step.outputs}
    return {output: result.digest for output, result in results.items() if result is not None}


def missing(store: Store, step: Step) -> bool:
    """Tell whether a result of a step is not stored."""
    return len(find_stored(store, step)) < len(step.outputs)


def reuse(step: Step, stored: dict[Output, str]) -> list[Outcome]:
    outputs = [output for output in step.outputs if output in stored]
    return [Outcome(output=output, manifest=stored[output], computed=False) for output in outputs]


def _without_stored(task: Task, stored: dict[Output, str]) -> Task | None:
    """Return the task for its missing outputs, None if there are none."""
    outputs = tuple(output for output in task.outputs if output not in stored)
    return replace(task, outputs=outputs) if outputs else None
