"""Tasks and their outputs, as plain values: they hold names of results, never data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A planned stage result: its key and its place (layer, shard, grid) in the run; `part` numbers those of one grid."""

    stage: str
    key: str
    layer: str | None = None
    shard: int | None = None
    grid: int | None = None
    part: int | None = None

    @property
    def place(self) -> dict[str, Any]:
        """The parts of the place that apply, by name."""
        parts = {"layer": self.layer, "shard": self.shard, "grid": self.grid, "part": self.part}
        return {name: value for name, value in parts.items() if value is not None}

    @property
    def title(self) -> str:
        """The stage and the place, for messages."""
        return " ".join([self.stage, *(f"{k} {v}" if k != "layer" else str(v) for k, v in self.place.items())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One call that computes outputs together: the keys it reads, and its settings.

    `reads` names the results read, by role: a key, or a list of keys in shard order. All values are plain JSON, so that a
    task can be sent to another machine. Results of one that is `between` are made only for other tasks of its step, and
    in no version.
    """

    stage: str
    store: str
    outputs: tuple[Output, ...]
    reads: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    between: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The stored result of an output: the digest of its manifest, and the time it took if it was computed."""

    output: Output
    manifest: str
    computed: bool
    seconds: float = 0.0
