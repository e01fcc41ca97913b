"""Compare stores byte by byte, leaving out what is allowed to differ: when and where something was made."""

from __future__ import annotations

import hashlib
from pathlib import Path


def tree(store: Path) -> dict[str, str]:
    """Return the hash of every file that a reader could see, by its path in the store."""
    files = [path for part in ("stages", "runs") for path in (store / part).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
        if path.name != "happened.json"
    }


def contents(root: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def strays(store: Path) -> list[str]:
    """Return what lies in the store's scratch space."""
    return (
        sorted(str(path.relative_to(store)) for path in (store / "tmp").rglob("*")) if (store / "tmp").exists() else []
    )
