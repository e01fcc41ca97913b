"""Selection: choose among the stored samples of a run, by a condition, or those that speak most for one class or two."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from atlas.arrays import Float, Int
from atlas.layout.alignment import shares
from atlas.layout.methods import MIN_DISTINCT
from flows import progress, registry
from flows.config import RunConfig, option
from flows.planning.tasks import Outcome, Output
from flows.questions import classes, samples
from flows.questions.runs import SelectedOfLayer
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import samples as sample_arrays
from storage.artefacts import selections
from storage.errors import UsageError
from storage.run import Run
from storage.store.store import Store, stage_key

STRONGEST = 2_000
"""Samples of a class that are selected unless told."""

OPTIONS = ("of_class", "against", "strongest", "where")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The selected samples of a layer by number, ascending; `across` is the place of each from left to right, or None."""

    layer: str
    numbers: Int
    image_id: Int
    across: Float | None
    record: SelectedOfLayer

    def say(self, *, narrowed: bool) -> None:
        """Report how many samples are selected, and what is not known of others."""
        text = f"  selection: {self.layer}: {self.record['samples']:,} of {self.record['of']:,} samples"
        if "attributed" in self.record:
            fitting = " that fit the condition" if narrowed else ""
            text += f"; the classes of {self.record['attributed']:,}{fitting} are stored"
        if unsure := self.record.get("unsure", 0):
            text += f"; {unsure:,} others might say as much for the class: only the five strongest classes of a sample are stored"
        progress.current().say(text)


def select(run: Run, config: RunConfig, layer: str) -> Selected:
    """Choose samples of a layer and write nothing. Raises UsageError where that leaves too few to lay out."""
    image_id = samples.positions(run, layer)["image_id"]
    total = len(image_id)
    numbers = np.arange(total) if config.where is None else samples.where(run, layer, config.where)
    across, known = None, OfClasses()
    if config.of_class is not None and len(numbers):
        numbers, across, known = _of_classes(run, config, layer, numbers)
    record = SelectedOfLayer(samples=len(numbers), of=total, **known)
    _check_enough(config, layer, record)
    chosen = Selected(layer=layer, numbers=numbers, image_id=image_id[numbers], across=across, record=record)
    chosen.say(narrowed=config.where is not None)
    return chosen


class OfClasses(TypedDict, total=False):
    """What is known of a choice by class: as in `SelectedOfLayer`."""

    attributed: int
    unsure: int


def _of_classes(run: Run, config: RunConfig, layer: str, numbers: Int) -> tuple[Int, Float | None, OfClasses]:
    """Choose the samples that speak most for a class, or for either of two, which are then ranked by the difference."""
    first, values = samples.strongest_classes(run, layer)
    most = config.strongest or STRONGEST
    known, chosen, unsure = [], [], np.zeros(len(numbers), bool)
    for name in (config.of_class, config.against):
        if name is None:
            continue
        value = samples.class_values(run, layer, classes.class_index(name, run.model["classes"]))
        strongest = _strongest(value, numbers, most)
        unsure |= _unsure(value[numbers], values[numbers, -1], value[strongest], most)
        known.append(value)
        chosen.append(strongest)
    every = np.unique(np.concatenate(chosen))
    record = OfClasses(
        attributed=int((first[numbers, 0] >= 0).sum()), unsure=int((unsure & ~np.isin(numbers, every)).sum())
    )
    if config.against is None:
        return every, None, record
    for_it, against = (np.nan_to_num(value[every]).astype(np.float64) for value in known)
    return every, shares(for_it - against).astype(np.float32), record


def _strongest(value: Float, numbers: Int, most: int) -> Int:
    """Return the numbers of the samples with the largest values above 0, ascending; of equal values the first."""
    for_it = numbers[np.nan_to_num(value[numbers]) > 0]
    return np.sort(for_it[np.argsort(-value[for_it], kind="stable")[:most]])


def _unsure(value: Float, fifth: Float, chosen: Float, most: int) -> NDArray[np.bool_]:
    """Tell which samples without a value might say as much as the weakest chosen one: theirs is at most their fifth's."""
    fifth, least = np.nan_to_num(fifth), float(chosen.min()) if len(chosen) == most else 0.0
    return np.asarray(np.isnan(value) & (fifth > 0) & (fifth >= least))


def _check_enough(config: RunConfig, layer: str, record: SelectedOfLayer) -> None:
    needed = 1 if config.layout == "pca" else MIN_DISTINCT
    if record["samples"] >= needed:
        return
    question, total = options(config), record["of"]
    if record["samples"]:
        few = f"{record['samples']} of the {total:,} samples of {layer} are selected, and a layout needs {needed}"
        raise UsageError(f"{question}: {few}; ask for more, or leave the layer out of --layers")
    if "attributed" in record:
        fitting = "" if config.where is None else "that fit the condition and "
        those = f"of the {record['attributed']:,} samples of {layer} {fitting}whose five strongest classes are stored"
        raise UsageError(
            f"{question}: {those}, none speaks for it; name another class, or leave the layer out of --layers"
        )
    raise UsageError(f"{question}: none of the {total:,} samples of {layer} is selected")


def options(config: RunConfig) -> str:
    """Return what a selection is by, as the command line spells it."""
    given = by(config)
    words = (f"--{name}{'=' if str(value).startswith('-') else ' '}{value}" for name, value in given.items())
    return " ".join(words) or f"--of {config.of}"


def by(config: RunConfig) -> dict[str, str | int]:
    """Return the settings that a selection is by, by the names of their options."""
    values = ((option(name)[2:], getattr(config, name)) for name in OPTIONS)
    return {name: value for name, value in values if value is not None}


def key(run: Run, selected: Selected) -> str:
    """Return the key of selected samples: that of the source's, and which of them they are."""
    digest = hashlib.sha256(selected.numbers.astype("<i8").tobytes())
    if selected.across is not None:
        digest.update(selected.across.astype("<f4").tobytes())
    keys = [result.key for result in run.sample_results(selected.layer)]
    return stage_key("selection", registry.stage("selection").code, {"samples": keys}, {"chosen": digest.hexdigest()})


def write(store: Store, run: Run, selected: Selected) -> Outcome:
    """Write the selected samples of a layer where they are not stored."""
    output = Output(stage="selection", key=key(run, selected), layer=selected.layer)
    stored = store.find("selection", output.key)
    if stored is not None:
        return Outcome(output=output, manifest=stored.digest, computed=False)
    parts = run.sample_results(selected.layer)
    taken = sample_arrays.take(parts, selected.numbers)
    with drafting(store, output) as draft:
        selections.write(draft.path, taken, selected.numbers, selected.across)
        images = len(np.unique(taken.image_id))
        draft.counts = {"images": images, **sample_arrays.counts(taken), "nonfinite": 0}
    return outcome(draft)
