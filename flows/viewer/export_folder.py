"""Put an export in its place whole: a killed one leaves the earlier export, or none, and nothing beside it.

Files are written into a hidden folder beside the destination, which holds a locked file. A shell waits for the end of this
process and then removes the folder, even after SIGKILL. Where it can't (power lost), the next export beside it does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from storage.errors import Locked, Unsupported
from storage.store.locks import locked

NAME = re.compile(r"\.(?P<name>.+)\.actlas-export\.[0-9a-f]{16}", re.DOTALL)
"""The hidden folder, by the name of its destination."""

FRESH, OLD, LOCK = "fresh", "old", "lock"
TIDY = f'read -r _; [ -e "$2" ] || mv "$1/{OLD}" "$2"; rm -rf "$1"'
"""Once the input ends: put the earlier export back if no other took its place, then remove the hidden folder."""


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield a path to write a folder at; it takes the place of `folder` if the block ends well."""
    tidy(folder.parent)
    scratch = folder.parent / f".{folder.name}.actlas-export.{os.urandom(8).hex()}"
    with _watched(scratch, folder), ExitStack() as stack:
        scratch.mkdir()
        with suppress(Unsupported):  # without locks, leave what the shell left
            stack.enter_context(locked(scratch / LOCK))
        yield scratch / FRESH
        if folder.exists():
            folder.rename(scratch / OLD)
        (scratch / FRESH).rename(folder)


def tidy(parent: Path) -> None:
    """Remove what exports left whose process and shell both ended: of those in use, the lock is held."""
    for scratch in sorted(parent.iterdir()):
        match = NAME.fullmatch(scratch.name)
        if match is None or not scratch.is_dir():
            continue
        with suppress(Locked, Unsupported), locked(scratch / LOCK, wait=False):
            _restore(scratch, parent / match["name"])
            shutil.rmtree(scratch, ignore_errors=True)


def _restore(scratch: Path, folder: Path) -> None:
    if (scratch / OLD).exists() and not folder.exists():
        (scratch / OLD).rename(folder)


@contextmanager
def _watched(scratch: Path, folder: Path) -> Iterator[None]:
    """Have a shell remove the hidden folder at the end of the block, or of this process."""
    try:
        shell = subprocess.Popen(  # noqa: S603 -- the text is fixed; paths are arguments
            ["/bin/sh", "-c", TIDY, "sh", str(scratch), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it outlives an interrupt, and whatever else ends this group of processes
        )
    except OSError:  # no shell here, or too many processes
        shell = None
    try:
        yield
    finally:
        if shell is not None and shell.stdin is not None:
            shell.stdin.close()
            shell.wait()
        _restore(scratch, folder)
        shutil.rmtree(scratch, ignore_errors=True)
