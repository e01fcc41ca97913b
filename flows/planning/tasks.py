"""What a task is told: names only. A stage result that is to be made, and the work that makes one or several of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One stage result to be: its key and its place (layer, shard, grid) in the run."""

    stage: str
    key: str
    layer: str | None = None
    shard: int | None = None
    grid: int | None = None

    @property
    def place(self) -> dict[str, Any]:
        """The place without what does not apply."""
        parts = {"layer": self.layer, "shard": self.shard, "grid": self.grid}
        return {name: value for name, value in parts.items() if value is not None}

    @property
    def title(self) -> str:
        return " ".join([self.stage, *(f"{k} {v}" if k != "layer" else str(v) for k, v in self.place.items())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task: the results that one call makes together, the keys it reads, and how it is to be done.

    `reads` names the results read, by role: a key, or a list of keys in shard order. Everything here is plain JSON, so a
    task can be sent to any machine.
    """

    stage: str
    store: str
    outputs: tuple[Output, ...]
    reads: Mapping[str, Any] = field(default_factory=dict)
    how: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one stage result."""

    output: Output
    manifest: str
    computed: bool
    seconds: float = 0.0
