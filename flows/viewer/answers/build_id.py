"""Which software answers: what never changes of a version is only what the same code makes of it."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import version as installed
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("atlas", "flows", "storage")


@functools.cache
def digest() -> str:
    """Return eight letters that are others as soon as a line of the code is: part of the addresses that last for ever."""
    told = hashlib.sha256(installed("actlas").encode())
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        told.update(path.relative_to(ROOT).as_posix().encode())
        told.update(path.read_bytes())
    return told.hexdigest()[:8]
