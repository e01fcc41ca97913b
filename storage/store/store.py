"""The store: immutable, content-addressed stage results, and runs whose versions refer to them.

    STORE/actlas-store.json       the marker
    STORE/published.json          the numbers that were published
    STORE/stages/<stage>/<key>/…  manifest.json, happened.json
    STORE/runs/<name>/<number>.json, <number>.json.copy
    STORE/tmp/…                   never read
    STORE/locks/…                 empty files to lock

The protocol is in docs/store.md. `verify`, `repair` and `gc` are separate modules.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage.errors import Damaged, Incomplete
from storage.store import marker, publishing, reading, versions
from storage.store.drafts import Draft, draft, raising_no_space
from storage.store.locks import locked
from storage.store.places import Places, checked_root, is_key
from storage.store.records import stage_key as stage_key
from storage.store.results import Result, read_result
from storage.store.versions import Contents, Entry, Version

__all__ = ["Contents", "Draft", "Entry", "Result", "Store", "Version", "stage_key"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Store:
    """A store on disk. Opening it writes nothing; the first draft creates it."""

    root: Path

    def __post_init__(self) -> None:
        checked_root(self.root)

    @property
    def places(self) -> Places:
        return Places(self.root)

    def check_writable(self) -> None:
        """Raise UsageError if the folder is neither new, nor empty, nor a store; Newer if a later version wrote it."""
        marker.check_writable(self.places)

    def _claim(self) -> None:
        with raising_no_space(self.places, self.places.tmp):
            marker.claim(self.places)

    def find(self, stage: str, key: str) -> Result | None:
        """Find a result; return None if it is missing, or (with a warning) if its manifest is damaged.

        Cheap: reads only the manifest. The next commit of the key replaces a damaged result.
        """
        try:
            return read_result(self.places, stage, key)
        except Incomplete:
            return None
        except Damaged as damage:
            log.warning("%s", damage)
            return None

    def get(self, stage: str, key: str, manifest: str | None = None) -> Result:
        """Open a result that must exist. Raises Incomplete, or Damaged if its manifest isn't the one named."""
        return read_result(self.places, stage, key, manifest)

    def results(self, stage: str) -> list[Result]:
        """Return the results of a stage with an intact manifest, sorted by key."""
        keys = reading.names(self.places.stage(stage))
        return [result for key in keys if is_key(key) and (result := self.find(stage, key)) is not None]

    def draft(self, stage: str, key: str) -> AbstractContextManager[Draft]:
        """Open a draft of a result: write under its `path`, then `commit`. Raises NoSpace when the disk is full."""
        return draft(self.places, stage, key)

    def publish(self, name: str, contents: Contents) -> int:
        """Publish contents atomically as the current version of a run; return its number (the current one if unchanged).

        Raises Incomplete or Damaged if a result is missing or not the one named.
        """
        return publishing.publish(self.places, name, contents)

    def rollback(self, name: str, number: int) -> int:
        """Publish an older version's contents again; return the new number."""
        return publishing.rollback(self.places, name, number)

    def names(self) -> list[str]:
        """Return the names of all runs, sorted."""
        return versions.run_names(self.places)

    def versions(self, name: str) -> list[int]:
        """Return the version numbers of a run, ascending; empty if there is no such run."""
        return versions.numbers(self.places, name)

    def version(self, name: str, number: int | None = None) -> Version:
        """Read a version of a run, by default the current one. Raises NotFound or Damaged."""
        return versions.read_version(self.places, name, number)

    def published_at(self, name: str, number: int) -> float:
        """Return the time of a version's file: versions themselves record no times. Raises NotFound."""
        return versions.file_time(self.places, name, number)

    @contextmanager
    def lock(self, name: str, wait: bool = False) -> Iterator[None]:
        """Hold the exclusive lock on a run. Raises Locked, naming the process that holds it, unless `wait`.

        Before the first publication, raises Unsupported if the file system cannot publish.
        """
        lock = self.places.run_lock(name)
        self._claim()
        with locked(lock, wait=wait, doing=f"run {name!r} in {self.root}"):
            if not self.names():
                publishing.check_links(self.places)
            yield

    @contextmanager
    def serving(self, name: str) -> Iterator[None]:
        """Hold the lock that lets one process per machine schedule runs of this name. Raises Locked."""
        lock = self.places.serve_lock(name)
        self._claim()
        with locked(lock, wait=False, doing=f"serving run {name!r} of {self.root}"):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold off gc for a whole run, so that results found at the start still exist when it publishes."""
        self._claim()
        with locked(self.places.gc_lock, shared=True):
            yield
