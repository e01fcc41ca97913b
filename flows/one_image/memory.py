"""What an explanation computes whatever the class, kept for the next class of the same image and layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from flows.drawing.illustrator import Illustrator

T = TypeVar("T")


class Keep(Protocol):
    """Return the kept value of a name, or compute it."""

    def __call__(self, name: str, compute: Callable[[], T]) -> T: ...


class Memory:
    """Values by name, and the illustrator that made them, which holds a folded copy of the model."""

    def __init__(self, illustrator: Illustrator) -> None:
        self.illustrator = illustrator
        self._values: dict[str, Any] = {}

    def keep(self, name: str, compute: Callable[[], T]) -> T:
        """Return the kept value of a name, or compute it."""
        if name not in self._values:
            self._values[name] = compute()
        value: T = self._values[name]
        return value
