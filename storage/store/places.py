"""The paths in a store. Only this module joins paths under the root, and it checks user text first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from storage.errors import UsageError
from storage.store import reading

MANIFEST = "manifest.json"
HAPPENED = "happened.json"
COPY = ".copy"
"""Suffix of the second copy of a file, to repair the first from."""
MARKER = "actlas-store.json"
PUBLISHED = "published.json"
FOLDERS = ("stages", "runs", "updates", "tmp", "locks")
"""The folders of a store."""
LOCK = "lock"
"""A file in every folder of work in progress under tmp/, locked for as long as the folder is in use."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}", re.ASCII)
_KEY = re.compile(r"[0-9a-f]{32}", re.ASCII)
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}(.*)", re.DOTALL)
_SCRATCH = re.compile(r"[A-Za-z0-9_.-]+\.[0-9]{1,10}\.[0-9a-f]{16}", re.ASCII)
_ASIDE = re.compile(r"(aside|gc|damaged\.[A-Za-z0-9_.-]{1,64}\.[0-9a-f]{32})\.[0-9a-f]{16}", re.ASCII)
_VERSION = re.compile(r"([1-9][0-9]{0,8})\.json(\.copy)?", re.ASCII)


def is_name(name: str) -> bool:
    """Tell whether a run's or stage's name is safe as a file name."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def is_key(key: str) -> bool:
    """Tell whether a text is a stage key, as returned by `stage_key`."""
    return isinstance(key, str) and _KEY.fullmatch(key) is not None


def checked_name(kind: str, name: str) -> str:
    """Return a name if it is safe as a file name, else raise UsageError."""
    if not is_name(name):
        raise UsageError(f"{kind} {name!r} is invalid: use 1 to 64 of A-Z a-z 0-9 _ . - and no leading dot")
    return name


def checked_key(key: str) -> str:
    """Return a stage key if it is one, else raise UsageError."""
    if not is_key(key):
        raise UsageError(f"stage key {key!r} is invalid: it must be 32 hex digits, as returned by stage_key")
    return key


def checked_root(root: Path) -> Path:
    """Return the folder of a store; raise UsageError for the address of an object store."""
    address = _ADDRESS.fullmatch(str(root))
    if address:
        raise UsageError(
            f"--store {address[1]}://{address[2]}: results are kept in a folder, since object stores lack the atomic link and "
            "rename that committing and publishing rely on; give a folder on a disk or a shared file system"
        )
    return root


def is_store(folder: Path | str) -> bool:
    """Tell whether a folder is the root of a store: it has the marker, or the lock of every writer (format 1)."""
    places = Places(Path(folder))
    return reading.is_file(places.marker) or reading.is_file(places.gc_lock)


def is_scratch(name: str) -> bool:
    """Tell whether a name under tmp/ is that of work in progress, or of something set aside or being removed."""
    return bool(_SCRATCH.fullmatch(name) or _ASIDE.fullmatch(name))


def is_update(file: str) -> bool:
    """Tell whether a name under updates/ is that of a run's announced weights."""
    return file.endswith(".json") and is_name(file.removesuffix(".json"))


def is_lock(name: str) -> bool:
    """Tell whether a name under locks/ is that of a lock."""
    kind, _, rest = name.removesuffix(".lock").partition(".")
    return name in ("gc.lock", "versions.lock") or (
        name.endswith(".lock") and kind in ("run", "serve") and is_name(rest)
    )


def version_number(file: str) -> int | None:
    """Parse the number from the name of a version file or its copy; None for any other name."""
    match = _VERSION.fullmatch(file)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class Places:
    """The paths of one store."""

    root: Path

    @property
    def stages(self) -> Path:
        return self.root / "stages"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def marker(self) -> Path:
        return self.root / MARKER

    @property
    def published(self) -> Path:
        return self.root / PUBLISHED

    @property
    def updates(self) -> Path:
        return self.root / "updates"

    def update(self, name: str) -> Path:
        return self.updates / f"{checked_name('run name', name)}.json"

    @property
    def versions_lock(self) -> Path:
        return self.locks / "versions.lock"

    @property
    def gc_lock(self) -> Path:
        return self.locks / "gc.lock"

    def run_lock(self, name: str) -> Path:
        return self.locks / f"run.{checked_name('run name', name)}.lock"

    def serve_lock(self, name: str) -> Path:
        return self.locks / f"serve.{checked_name('run name', name)}.lock"

    def stage(self, stage: str) -> Path:
        return self.stages / checked_name("stage", stage)

    def result(self, stage: str, key: str) -> Path:
        return self.stage(stage) / checked_key(key)

    def run(self, name: str) -> Path:
        return self.runs / checked_name("run name", name)

    def version(self, name: str, number: int) -> Path:
        return self.run(name) / f"{int(number)}.json"

    def copy(self, name: str, number: int) -> Path:
        return self.run(name) / f"{int(number)}.json.copy"

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()
