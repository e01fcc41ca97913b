"""Paths that are to be folders: refuse a file in the way before any work, with what would do."""

from __future__ import annotations

import os
from pathlib import Path

from storage.errors import UsageError


def check(option: str, path: str | os.PathLike[str]) -> None:
    """Raise UsageError if a path, or a folder above it, is a file, or a link to nothing."""
    place = Path(path)
    for part in (place, *place.parents):
        if os.path.lexists(part):
            if not part.is_dir():
                kind = "a link to nothing" if part.is_symlink() and not part.exists() else "a file"
                raise UsageError(f"{option} {place}: {part} is {kind}, not a folder; name a folder, or a new one")
            return
