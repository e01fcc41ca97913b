"""Identify the software that answers: an answer may be cached for ever only for the same version and the same code."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import version as installed
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("atlas", "flows", "storage")


@functools.cache
def digest() -> str:
    """Return an eight-character hash of the source code; any edit changes it."""
    code = hashlib.sha256(installed("actlas").encode())
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        code.update(path.relative_to(ROOT).as_posix().encode())
        code.update(path.read_bytes())
    return code.hexdigest()[:8]
