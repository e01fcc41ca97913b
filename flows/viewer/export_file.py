"""One file of an export, and how large many of them are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SAMPLED = 3
"""Files of each kind that are measured to estimate the size of an export."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of the export, the function that computes its bytes, and one that counts them for less, if there is one."""

    path: str
    render: Callable[[], bytes]
    count: Callable[[], int] | None = None

    @property
    def size(self) -> int:
        """Its bytes, about."""
        return len(self.render()) if self.count is None else self.count()


def estimate(files: list[ExportFile]) -> tuple[int, int]:
    """Return an export's number of files and approximate bytes, from a sample of each kind."""
    kinds: dict[str, list[ExportFile]] = {}
    for file in files:
        kinds.setdefault("/".join(file.path.split("/")[:3]), []).append(file)
    total = 0
    for alike in kinds.values():
        step = max(1, len(alike) // SAMPLED)
        chosen = alike[::step][:SAMPLED] if len(alike) > SAMPLED else alike
        total += sum(file.size for file in chosen) * len(alike) // len(chosen)
    return len(files), total
