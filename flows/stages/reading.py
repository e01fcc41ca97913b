"""The run's source of images, opened once: finding out what kind a path is may mean walking a tree."""

from __future__ import annotations

import functools

from storage.images.contract import Source
from storage.images.sources import open_source


@functools.lru_cache(maxsize=1)
def source_of(images: str) -> Source:
    """Return the source; the same one all through a run."""
    return open_source(images)


def forget() -> None:
    """Forget the source at the start of a run."""
    source_of.cache_clear()
