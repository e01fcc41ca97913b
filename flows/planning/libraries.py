"""The libraries that compute: which enter the key of which stage, which are only recorded beside what they made.

Another version of a library in a key may give other bytes, so results are filed under it, and a worker must have it.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform

from flows import registry

RECORDED = ("actlas", "torchvision", "timm", "pyarrow", "zarr")
"""Libraries that enter no key."""


def in_keys() -> tuple[str, ...]:
    """Return the libraries of any key: a worker has the same versions, or computes nothing."""
    rows = [names for row in registry.STAGES for names in (row.libraries, *row.variants.values())]
    return tuple(dict.fromkeys(name for names in rows for name in names))


def of_key(stage: str, variant: str | None = None) -> dict[str, str]:
    """Return the versions of the libraries that enter a stage's key, as the key names them."""
    row = registry.stage(stage)
    names = row.libraries if variant is None else row.variants[variant]
    return {f"lib {name}": importlib.metadata.version(name) for name in names}


@functools.cache
def versions() -> dict[str, str]:
    """Return the version of Python and of each library that is here, by name."""
    names = (*RECORDED, *in_keys())
    return {"python": platform.python_version()} | {name: found for name in names if (found := _installed(name))}


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
