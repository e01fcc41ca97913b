"""Check thresholds of `actlas compare --fail-if`, which make a comparison a gate in a training pipeline."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flows.comparing.answers import ComparedLayer, Comparison, Crossing, LeftOut
from flows.comparing.datasets.answer_types import DatasetComparison, DatasetLayer
from storage.errors import UsageError

Layer = TypeVar("Layer", ComparedLayer, DatasetLayer)

CROSSED = 5
"""Exit code of a comparison that crosses a threshold."""

_RULE = re.compile(r"\s*([a-z]+)\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def _share(state: str) -> Callable[[ComparedLayer | DatasetLayer], float | None]:
    """Return a function for the share of a layer's cells, over all grids, that are in a state."""

    def share(layer: ComparedLayer | DatasetLayer) -> float | None:
        cells = [cell["state"] for grid in layer["cells"].values() for cell in grid["cells"]]
        return cells.count(state) / len(cells) if cells else None

    return share


METRICS: dict[str, Callable[[ComparedLayer], float | None]] = {
    "drift": lambda layer: layer["drift"]["median"],
    "overlap": lambda layer: layer["overlap"],
    "labels": lambda layer: layer["label_change"],
    "displacement": lambda layer: layer["displacement"]["median"],
    "beyond": lambda layer: layer["displacement"]["beyond_noise"],
    "changed": _share("changed"),
    "appeared": _share("appeared"),
    "emptied": _share("emptied"),
}
"""By name, a number of a layer: a median over its units or samples, or a share of its samples or cells."""


DATASET_METRICS: dict[str, Callable[[DatasetLayer], float | None]] = {
    "p": lambda layer: layer["p"],
    "shift": lambda layer: layer["shift"],
    "unlike": lambda layer: layer["unlike"]["shares"][1],
    "denser": _share("denser"),
    "thinner": _share("thinner"),
    "appeared": _share("appeared"),
    "emptied": _share("emptied"),
}
"""The same for a layer of two datasets; of their differences only what is beyond chance counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A threshold as the user wrote it, such as `drift>0.2`."""

    metric: str
    comparison: str
    value: float

    def __str__(self) -> str:
        return f"{self.metric}{self.comparison}{self.value:g}"

    def holds(self, value: float | None) -> bool:
        """Tell whether a value crosses the threshold; an unknown one does, since a gate must not pass unmeasured."""
        return value is None or _OPERATORS[self.comparison](value, self.value)


def parse(text: str) -> Rule:
    """Parse a threshold of versions or of datasets. Raises UsageError naming the metrics."""
    match = _RULE.fullmatch(text)
    metrics = f"{', '.join(METRICS)}; of two datasets {', '.join(DATASET_METRICS)}"
    if match is None or match[1] not in {**METRICS, **DATASET_METRICS}:
        raise UsageError(f"--fail-if {text!r} is not a threshold: write METRIC>NUMBER, with one of {metrics}")
    try:
        value = float(match[3])
    except ValueError:
        raise UsageError(f"--fail-if {text!r}: {match[3]} is not a number") from None
    if not math.isfinite(value):
        raise UsageError(f"--fail-if {text!r}: {match[3]} is larger than any number; nothing would cross it")
    return Rule(metric=match[1], comparison=match[2], value=value)


def check(rules: Sequence[Rule], *, datasets: bool) -> None:
    """Raise UsageError for a threshold that this kind of comparison does not measure."""
    metrics, kind = (DATASET_METRICS, "two datasets") if datasets else (METRICS, "versions")
    wrong = next((rule for rule in rules if rule.metric not in metrics), None)
    if wrong is not None:
        raise UsageError(
            f"--fail-if '{wrong}': a comparison of {kind} has no {wrong.metric}; write one of {', '.join(metrics)}"
        )


def crossings(answer: Comparison, rules: Sequence[Rule]) -> list[Crossing]:
    """Return the crossed thresholds: rule, runs, layer and value; a layer left out of the comparison crosses every one."""
    whole = answer["steps"][0]["from"], answer["steps"][-1]["to"]
    steps = [
        crossing
        for step in answer["steps"]
        for layer in step["layers"]
        for crossing in _of_layer(rules, METRICS, (step["from"], step["to"]), layer["layer"], layer)
    ]
    return [*_of_left_out(rules, whole, answer["left_out"]), *steps]


def dataset_crossings(answer: DatasetComparison, rules: Sequence[Rule]) -> list[Crossing]:
    """Return the thresholds that two datasets cross, as `crossings` does."""
    a, b = (f"{one['run']}@{one['version']}" for one in answer["datasets"])
    layers = [
        crossing
        for layer in answer["layers"]
        for crossing in _of_layer(rules, DATASET_METRICS, (a, b), layer["layer"], layer)
    ]
    return [*_of_left_out(rules, (a, b), answer["left_out"]), *layers]


def _crossing(rule: Rule, versions: tuple[str, str], layer: str, value: float | None) -> Crossing:
    before, after = versions
    return {"rule": str(rule), "from": before, "to": after, "layer": layer, "metric": rule.metric, "value": value}


def _of_left_out(rules: Sequence[Rule], versions: tuple[str, str], left_out: Sequence[LeftOut]) -> Iterator[Crossing]:
    for one in left_out:
        for rule in rules:
            yield _crossing(rule, versions, one["layer"], None)


def _of_layer(
    rules: Sequence[Rule],
    metrics: Mapping[str, Callable[[Layer], float | None]],
    versions: tuple[str, str],
    name: str,
    layer: Layer,
) -> Iterator[Crossing]:
    for rule in rules:
        value = metrics[rule.metric](layer)
        if rule.holds(value):
            yield _crossing(rule, versions, name, value)
