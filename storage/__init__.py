"""Everything that touches a disk or a network: images in, models in, stage results out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.run import Run, open_run

__all__ = ["Run", "open_run"]


def __getattr__(name: str) -> Any:
    """Import the reading interface when it is asked for: it brings pyarrow, and help texts need none."""
    if name not in __all__:
        raise AttributeError(f"module 'storage' has no attribute {name!r}")
    from storage import run

    return getattr(run, name)
