"""Read images and models, write and read stage results: everything that touches a disk or a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.run import Run, open_run

__all__ = ["Run", "open_run"]


def __getattr__(name: str) -> Any:
    """Import the reading interface on first use: it loads pyarrow, which help texts do not need."""
    if name not in __all__:
        raise AttributeError(f"module 'storage' has no attribute {name!r}")
    from storage import run

    return getattr(run, name)
