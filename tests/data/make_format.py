"""Keep a small store as this version of actlas writes it, for every later version to read.

    python tests/data/make_format.py tests/data/format1

Run it once for each format of the store (`storage.store.records.FORMAT`), with the last version that writes it. Everything is made
by the command line; what the store answers then is written beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import formats

TESTS = Path(__file__).parents[1]

SETTINGS: dict[str, Any] = {
    "images": "images",
    "store": "store",
    "name": "small",
    "model": "tiny:net",
    "layers": ("2", "4"),
    "input_size": 32,
    "labels": "labels.csv",
    "classes": "classes.txt",
    "min_count": 3,
    "grids": (2,),
    "icon_size": 16,
    "icon_tries": 1,
}
FIRST: dict[str, Any] = {"weights": "later.pt", "until": "cells"}
SECOND: dict[str, Any] = {"with": ("attribution", "influence", "gradients", "gallery")}
"""The second version has everything, so that it is shown whole; the first suffices to be compared with."""


def make(here: Path) -> Path:
    """Make two versions of a run in an empty folder, compare them, and return the store."""
    shutil.copy(TESTS / "support" / "tiny.py", here)
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parent}:{here}"}

    def run(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], cwd=here, env=environment, check=True)

    run("tiny.py", "--images", "12")
    for change in (FIRST, SECOND):
        settings = SETTINGS | change
        (here / "run.toml").write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
        run("-m", "flows.cli", "run", "--config", "run.toml", "--engine", "inline")
    run("-m", "flows.cli", "compare", "small@1", "small@2", "--store", "store")
    return here / "store"


def pack(store: Path, archive: Path) -> None:
    """Write what lasts of a store into an archive that holds neither owners nor times."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(archive, "w:xz") as tar:
        for path in sorted(path for part in ("stages", "runs") for path in (store / part).rglob("*")):
            if path.is_file():
                tar.add(path, path.relative_to(store), filter=plain)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        store = make(Path(scratch))
        pack(store, folder / formats.STORE)
        (folder / formats.ANSWERS).write_text(json.dumps(formats.answers(store), indent=1) + "\n")


if __name__ == "__main__":
    main()
