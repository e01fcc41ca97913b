"""A small file system of its own, to fill up."""

from __future__ import annotations

import subprocess
from pathlib import Path


def remount(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
