"""Check thresholds of `actlas compare --fail-if`, which make a comparison a gate in a training pipeline."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from flows.comparing.answers import ComparedLayer, Comparison, Crossing
from storage.errors import UsageError

CROSSED = 5
"""Exit code of a comparison that crosses a threshold."""

_RULE = re.compile(r"\s*([a-z]+)\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def _share(state: str) -> Callable[[ComparedLayer], float | None]:
    """Return a function for the share of a layer's cells, over all grids, that are in a state."""

    def share(layer: ComparedLayer) -> float | None:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A threshold as the user wrote it, such as `drift>0.2`."""

    metric: str
    comparison: str
    value: float

    def __str__(self) -> str:
        return f"{self.metric}{self.comparison}{self.value:g}"

    def holds(self, layer: ComparedLayer) -> bool:
        """Tell whether a layer crosses the threshold; an unknown value does, since a gate must not pass unmeasured."""
        value = METRICS[self.metric](layer)
        return value is None or _OPERATORS[self.comparison](value, self.value)


def parse(text: str) -> Rule:
    """Parse a threshold. Raises UsageError naming the metrics."""
    match = _RULE.fullmatch(text)
    metrics = ", ".join(METRICS)
    if match is None or match[1] not in METRICS:
        raise UsageError(f"--fail-if {text!r} is not a threshold: write METRIC>NUMBER, with one of {metrics}")
    try:
        value = float(match[3])
    except ValueError:
        raise UsageError(f"--fail-if {text!r}: {match[3]} is not a number") from None
    if not math.isfinite(value):
        raise UsageError(f"--fail-if {text!r}: {match[3]} is larger than any number; nothing would cross it")
    return Rule(metric=match[1], comparison=match[2], value=value)


def crossings(answer: Comparison, rules: Sequence[Rule]) -> list[Crossing]:
    """Return the crossed thresholds: rule, runs, layer and value; a layer left out of the comparison crosses every one."""
    return list(_crossings(answer, rules))


def _crossing(rule: Rule, versions: tuple[str, str], layer: str, value: float | None) -> Crossing:
    before, after = versions
    return {"rule": str(rule), "from": before, "to": after, "layer": layer, "metric": rule.metric, "value": value}


def _crossings(answer: Comparison, rules: Sequence[Rule]) -> Iterator[Crossing]:
    whole = answer["steps"][0]["from"], answer["steps"][-1]["to"]
    for left_out in answer["left_out"]:
        for rule in rules:
            yield _crossing(rule, whole, left_out["layer"], None)
    for step in answer["steps"]:
        for layer in step["layers"]:
            for rule in rules:
                if rule.holds(layer):
                    yield _crossing(rule, (step["from"], step["to"]), layer["layer"], METRICS[rule.metric](layer))
