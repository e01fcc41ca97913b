"""A store of many versions: what it costs to look at one doesn't grow with their number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import stores

from storage.store import gc, reading, repair, verify, versions
from storage.store.places import Places
from storage.store.store import Store
from storage.store.versions import Version


@pytest.fixture
def store(memory: Path) -> Store:
    return Store(memory / "store")


def listings(store: Store, number: int) -> list[int]:
    """Publish up to this version, and count how often each of a few jobs lists the versions."""
    for each in range(len(store.versions("run")) + 1, number + 1):
        store.publish("run", stores.contents([stores.commit(store, "a", 0)], n=each))
    jobs: tuple[Callable[[], object], ...] = (
        lambda: gc.gc(store, dry_run=True),
        lambda: gc.gc(store, dry_run=True, keep=1),
        lambda: repair.repair(store, []),
        lambda: verify.verify(store),
        lambda: store.rollback("run", 1),
        lambda: store.rollback("run", number),
    )
    return [_listings(store, job) for job in jobs]


def _listings(store: Store, job: Callable[[], object]) -> int:
    seen: list[Path] = []
    with reading.intercepted(lambda operation, path: seen.append(path) if operation == "list" else None):
        job()
    return seen.count(store.places.run("run"))


def test_many_versions_are_not_listed_once_for_each(store: Store) -> None:
    few = listings(store, 3)
    assert 0 < min(few) <= max(few) < 12
    assert listings(store, 12) == few


def test_mutant_a_listing_for_each_version_is_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = gc.read_version

    def listing(places: Places, name: str, number: int) -> Version:
        assert number in versions.numbers(places, name)
        return honest(places, name, number)

    monkeypatch.setattr(gc, "read_version", listing)
    assert listings(store, 3) != listings(store, 12)
