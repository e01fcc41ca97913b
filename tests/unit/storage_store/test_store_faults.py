"""Every fault at every change to the disk: the store is as before or as after, never in between, and a rerun heals it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import faults, stores
from support.trees import strays, tree

from storage.store import disk, drafts, verify
from storage.store.gc import gc
from storage.store.places import MANIFEST, Places
from storage.store.results import Result
from storage.store.store import Store

OLD, NEW = {"number": 1}, {"number": 2}


def first_run(root: Path) -> None:
    """From nothing to version 1."""
    store = Store(root)
    store.publish("run", stores.contents([stores.commit(store, "a", 1), stores.commit(store, "b", 1)], **OLD))


def second_run(root: Path) -> None:
    """A result is shared with version 1, one is new, one is in the way of gc; version 1 goes."""
    store = Store(root)
    with store.lock("run"):
        results = [stores.commit(store, "a", 1), stores.commit(store, "b", 2)]
        stores.commit(store, "c", 3)
        store.publish("run", stores.contents(results, **NEW))
    gc(store, older_than=0, keep=1)


class Sweep:
    """Sweeps one of the two runs, from a store prepared as it should be."""

    def __init__(self, folder: Path, job: Callable[[Path], None]) -> None:
        self.folder, self.job = folder, job
        self.numbers = itertools.count()
        self.start = folder / "start"
        self.start.mkdir()
        if job is second_run:
            first_run(self.start)
        whole = self.fresh()
        job(whole)
        self.whole = tree(whole)

    def fresh(self) -> Path:
        target = self.folder / f"store{next(self.numbers)}"
        shutil.copytree(self.start, target)
        return target

    def check(self, root: Path, what: str) -> None:
        store = Store(root)
        assert not stores.wrong(store), what
        assert not stores.broken_versions(store), what
        before = [OLD] if self.job is second_run else []
        seen = [dict(store.version("run").about)] if store.names() else []
        assert seen in ([[OLD], [NEW]] if before else [[], [OLD]]), what
        # a version's second copy may be on its way still, or (gc) gone first: publish and gc finish that
        assert all(d.kind == "missing" and d.path.endswith(".copy") for d in verify.verify(store)), what
        self.job(root)
        gc(store, older_than=0)
        assert tree(root) == self.whole, what
        assert not strays(root), what
        assert not verify.verify(store), what

    def run(self, kinds: tuple[str, ...], others: tuple[str, ...] = ()) -> int:
        return faults.sweep(self.fresh, self.job, self.check, kinds, others)


@pytest.mark.parametrize("job", [first_run, pytest.param(second_run, marks=pytest.mark.sweep)])
def test_every_operation_survives_two_kinds_of_fault(job: Callable[[Path], None], memory: Path) -> None:
    """Death at every operation, and one more kind of fault that takes turns; `make test-slow` has all kinds at all."""
    sweep = Sweep(memory, job)
    assert sweep.run(("kill before",), others=faults.FAULTS[1:]) > 80


@pytest.mark.slow
@pytest.mark.parametrize("job", [first_run, second_run])
def test_every_operation_survives_every_fault(job: Callable[[Path], None], memory: Path) -> None:
    assert Sweep(memory, job).run(faults.FAULTS) > 300


def test_what_was_published_survives_a_power_cut_right_after(memory: Path) -> None:
    assert not lost_after_publish(memory / "a")


def test_mutant_commit_without_rename(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def place(places: Places, ours: Result) -> Result:
        target = places.result(ours.stage, ours.key)
        disk.make_folders(target)
        for path in sorted(ours.path.iterdir(), key=lambda path: path.name != MANIFEST):
            disk.rename(path, target / path.name)
        return drafts.read_result(places, ours.stage, ours.key)

    monkeypatch.setattr(drafts, "_place", place)
    with pytest.raises(AssertionError, match="kill"):
        Sweep(memory, first_run).run(("kill before",))


@pytest.mark.parametrize("name", ["data.bin", "part", MANIFEST, "result"])
def test_mutant_commit_that_skips_a_sync(name: str, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_sync(monkeypatch, name)
    with pytest.raises(AssertionError, match="power"):
        Sweep(memory, first_run).run(("power",))


@pytest.mark.parametrize("name", ["store", "stages", "a", "runs", "run", "1.json"])
def test_mutant_publish_that_skips_a_sync(name: str, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_sync(monkeypatch, name)
    assert lost_after_publish(memory / "store")


def skip_sync(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = disk.sync
    monkeypatch.setattr(disk, "sync", lambda path: None if path.name == name else real(path))


def lost_after_publish(root: Path) -> list[str]:
    """Publish, cut the power at once, and name what is gone. The copy of a version may go: it heals."""
    with faults.striking(root.parent) as fault:
        first_run(root)
    before = tree(root)
    fault.lose_power()
    after = tree(root) if root.exists() else {}
    return [name for name, digest in before.items() if after.get(name) != digest]


def test_mutant_failed_sync_is_ignored(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that failed and is passed over leaves bytes that no power cut will spare."""
    real = disk.sync

    def careless(path: Path) -> None:
        try:
            real(path)
        except OSError:
            return

    start = memory / "s"
    with faults.striking(start, "EIO", _sync_of(memory, "data.bin")), pytest.raises(OSError, match="Input/output"):
        first_run(start)
    assert not list(verify.committed(Store(start).places))
    start, at = memory / "t", _sync_of(memory, "data.bin")
    monkeypatch.setattr(disk, "sync", careless)
    with faults.striking(start, "EIO", at):
        first_run(start)
    assert list(verify.committed(Store(start).places))


def test_mutant_version_is_not_checked_before_its_link(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from storage.store import publishing

    monkeypatch.setattr(publishing, "_check_and_sync", lambda places, contents: None)
    with pytest.raises(AssertionError, match="power"):
        Sweep(memory, _publish_of_unsynced).run(("power",))


def _publish_of_unsynced(root: Path) -> None:
    """Another process has renamed a result into place, and not come to sync the folder yet."""
    store = Store(root)
    real = disk.sync
    try:
        disk.sync = lambda path: None if path.name in ("a", "b", "stages") else real(path)  # type: ignore[assignment]
        results = [stores.commit(store, "a", 1), stores.commit(store, "b", 1)]
    finally:
        disk.sync = real
    store.publish("run", stores.contents(results, **OLD))


def test_publish_makes_what_it_names_last(memory: Path) -> None:
    assert Sweep(memory, _publish_of_unsynced).run(("power",)) > 20


def _sync_of(folder: Path, name: str) -> int:
    """Number of the operation that syncs a file of this name in the first run."""
    with faults.striking(folder / "counted") as fault:
        first_run(folder / "counted")
    shutil.rmtree(folder / "counted")
    return fault.seen.index(f"fsync {name}") + 1
