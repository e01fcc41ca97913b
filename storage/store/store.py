"""The store: content-addressed stage results that never change, and runs whose versions name them.

    STORE/stages/<stage>/<key>/…  manifest.json, happened.json
    STORE/runs/<name>/<number>.json, <number>.json.copy
    STORE/tmp/…                   never read
    STORE/locks/…                 empty files to lock

The protocol is in docs/store.md. `verify`, `repair` and `gc` have modules of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage.errors import Damaged, Incomplete
from storage.store import versions
from storage.store.drafts import Draft, draft
from storage.store.locks import locked
from storage.store.places import Places, checked_root, is_key
from storage.store.records import stage_key as stage_key
from storage.store.results import Result, read_result
from storage.store.versions import Contents, Entry, Version

__all__ = ["Contents", "Draft", "Entry", "Result", "Store", "Version", "stage_key"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Store:
    """A store on a disk. Opening one writes nothing; it comes into being with the first draft."""

    root: Path

    def __post_init__(self) -> None:
        checked_root(self.root)

    @property
    def places(self) -> Places:
        return Places(self.root)

    def find(self, stage: str, key: str) -> Result | None:
        """Look for a result: None if it isn't there, or (with a warning) if its manifest is damaged.

        Cheap: reads the manifest only. A damaged result is replaced by the next commit of its key.
        """
        try:
            return read_result(self.places, stage, key)
        except Incomplete:
            return None
        except Damaged as damage:
            log.warning("%s", damage)
            return None

    def get(self, stage: str, key: str, manifest: str | None = None) -> Result:
        """Open a result that has to be there. Raises Incomplete, or Damaged if its manifest isn't the one named."""
        return read_result(self.places, stage, key, manifest)

    def results(self, stage: str) -> list[Result]:
        """All whole results of a stage, in the order of their keys."""
        folder = self.places.stage(stage)
        keys = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [found for key in keys if is_key(key) and (found := self.find(stage, key)) is not None]

    def draft(self, stage: str, key: str) -> AbstractContextManager[Draft]:
        """Open a draft of a result: write under its `path`, then `commit`. Raises NoSpace if the disk fills up."""
        return draft(self.places, stage, key)

    def publish(self, name: str, contents: Contents) -> int:
        """Make contents the current version of a run in one step; return its number (the current if nothing is new).

        Raises Incomplete or Damaged if a result isn't there as named.
        """
        return versions.publish(self.places, name, contents)

    def rollback(self, name: str, number: int) -> int:
        """Publish an older version's contents anew; return the new number."""
        return versions.rollback(self.places, name, number)

    def names(self) -> list[str]:
        """Names of all runs, sorted."""
        return versions.run_names(self.places)

    def versions(self, name: str) -> list[int]:
        """Version numbers of a run, rising; empty if there is no such run."""
        return versions.numbers(self.places, name)

    def version(self, name: str, number: int | None = None) -> Version:
        """Read a version of a run, the current one by default. Raises NotFound or Damaged."""
        return versions.read_version(self.places, name, number)

    @contextmanager
    def lock(self, name: str, wait: bool = False) -> Iterator[None]:
        """Be the only one to work on a run. Raises Locked, naming the process that does, unless `wait`.

        Where nothing is published yet, raises Unsupported if the file system could not publish.
        """
        with locked(self.places.run_lock(name), wait=wait, doing=f"run {name!r} in {self.root}"):
            if not self.names():
                versions.check_links(self.places)
            yield

    @contextmanager
    def serving(self, name: str) -> Iterator[None]:
        """Be the only one on this machine to start runs of this name by a schedule. Raises Locked."""
        with locked(self.places.serve_lock(name), wait=False, doing=f"serving run {name!r} of {self.root}"):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep gc away for the whole of a run, so that results found at its start are there when it publishes."""
        with locked(self.places.gc_lock, shared=True):
            yield
