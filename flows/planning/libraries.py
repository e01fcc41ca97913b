"""The versions of libraries: those that enter the keys of stages, and those only recorded beside results.

Another version of a library in a key may give other bytes, so a worker must have the same one.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from collections.abc import Callable

from flows import registry
from storage.images.formats import HEIF_DECODER

RECORDED = ("actlas", "torchvision", "timm", "pyarrow", "zarr", HEIF_DECODER)
"""Libraries that enter no key."""


def in_keys() -> tuple[str, ...]:
    """Return the libraries that enter any key: a worker must have the same versions of them."""
    rows = [names for row in registry.STAGES for names in (row.libraries, *row.variants.values())]
    return tuple(dict.fromkeys(name for names in rows for name in names))


def of_key(stage: str, variant: str | None = None) -> dict[str, str]:
    """Return the library versions that enter a stage's key, by their names in the key."""
    row = registry.stage(stage)
    names = row.libraries if variant is None else row.variants[variant]
    return {f"lib {name}": _version(name, importlib.metadata.version) for name in names}


@functools.cache
def _version(name: str, read: Callable[[str], str]) -> str:
    """Return a version, read once by each function: it takes a millisecond, and plans ask thousands of times."""
    return read(name)


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries, by name."""
    names = (*RECORDED, *in_keys())
    return {"python": platform.python_version()} | {name: version for name in names if (version := _installed(name))}


def _installed(name: str) -> str | None:
    try:
        return _version(name, importlib.metadata.version)
    except importlib.metadata.PackageNotFoundError:
        return None
