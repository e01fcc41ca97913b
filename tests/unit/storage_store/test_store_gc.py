"""gc removes what nobody can want, and nothing that anybody does."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest
from support import stores
from support.trees import strays, tree

from storage.errors import Damaged, Incomplete, Locked, UsageError
from storage.store import disk, drafts, verify
from storage.store import gc as gc_module
from storage.store.gc import gc
from storage.store.store import Store

DAY = 86_400


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SETTLE", 0.0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Versions 1 to 3 of a run name results 1 to 3 each with 0; result 9 has no name; all two days old."""
    store = Store(tmp_path / "store")
    for number in (1, 2, 3):
        results = [stores.commit(store, "a", 0), stores.commit(store, "a", number)]
        store.publish("run", stores.contents(results, n=number))
    stores.commit(store, "a", 9)
    age(store.root, 2 * DAY)
    return store


def age(root: Path, seconds: float) -> None:
    for path in [root, *root.rglob("*")]:
        past = path.stat().st_mtime - seconds
        os.utime(path, (past, past))


def there(store: Store) -> set[int]:
    return {result.counts["number"] for result in store.results("a")}


def test_unnamed_and_old_goes_the_rest_stays(store: Store) -> None:
    stores.commit(store, "a", 8)
    before = tree(store.root)
    assert gc(store, dry_run=True) == [f"stages/a/{stores.key('a', 9)}"]
    assert tree(store.root) == before
    assert gc(store) == [f"stages/a/{stores.key('a', 9)}"]
    assert there(store) == {0, 1, 2, 3, 8}
    assert (verify.verify(store), strays(store.root), gc(store)) == ([], [], [])


def test_keep_drops_old_versions_first(store: Store) -> None:
    gone = gc(store, keep=2)
    assert set(gone) == {"runs/run/1.json", *(f"stages/a/{stores.key('a', number)}" for number in (1, 9))}
    assert (there(store), store.versions("run")) == ({0, 2, 3}, [2, 3])
    assert verify.verify(store) == []
    assert gc(store, keep=2) == []


def test_young_versions_are_kept(store: Store) -> None:
    store.publish("run", stores.contents([stores.commit(store, "a", 0)]))
    assert "runs/run/3.json" in gc(store, keep=1)
    store.publish("run", stores.contents([stores.commit(store, "a", 0), stores.commit(store, "a", 4)]))
    assert gc(store, keep=1) == []
    assert store.versions("run") == [4, 5]


def test_results_of_other_runs_are_kept(store: Store) -> None:
    store.publish("other", stores.contents([stores.commit(store, "a", 9)]))
    assert gc(store, older_than=0) == []


@pytest.mark.parametrize("act", ["draft", "writing"])
def test_gc_stays_away_while_anybody_writes(act: str, store: Store) -> None:
    context = store.draft("a", stores.key("a", 5)) if act == "draft" else store.writing()
    with context:
        with pytest.raises(Locked, match=f"process {os.getpid()}"):
            gc(store, older_than=0)
        assert 9 in there(store)
    gc(store, older_than=0)
    assert 9 not in there(store)


def test_abandoned_work_is_swept_and_live_work_is_not(store: Store) -> None:
    for name in ("dead", "live", "young"):
        disk.make_folder(store.places.tmp / name)
        disk.write_file(store.places.tmp / name / drafts.LOCK, b"")
        (store.places.tmp / name / "result").mkdir()
    age(store.places.tmp / "dead", 2 * DAY)
    age(store.places.tmp / "live", 2 * DAY)
    (store.places.tmp / "gc.12").mkdir()
    with drafts.locked(store.places.tmp / "live" / drafts.LOCK):
        gone = gc(store)
        assert {name for name in gone if name.startswith("tmp")} == {"tmp/dead", "tmp/gc.12"}
    assert set(gc(store, older_than=0)) >= {"tmp/live", "tmp/young"}
    assert strays(store.root) == []


def test_a_version_that_cannot_be_read_stops_gc(store: Store) -> None:
    for path in (store.places.version("run", 2), store.places.copy("run", 2)):
        path.write_bytes(b"{}")
    before = tree(store.root)
    with pytest.raises(Damaged, match=r"2\.json"):
        gc(store, older_than=0)
    assert tree(store.root) == before


@pytest.mark.parametrize(("older_than", "keep"), [(-1, None), (0, 0)])
def test_senseless_wishes_are_refused(older_than: float, keep: int | None, store: Store) -> None:
    with pytest.raises(UsageError):
        gc(store, older_than=older_than, keep=keep)


def test_an_empty_place_is_no_error(tmp_path: Path) -> None:
    assert gc(Store(tmp_path / "nothing")) == []
    assert not (tmp_path / "nothing").exists()


def publish_while_gc_runs(store: Store) -> list[str]:
    """Let gc run at every step of a publish that reuses a result which no version names; name what is broken then."""
    stores.commit(store, "a", 9)

    def interrupt(when: str, operation: str, path: Path) -> None:
        if operation == "link" and when == "before":
            with disk.intercepted(lambda *_: None):
                try:
                    gc(store, older_than=0)
                except Locked:
                    return

    with disk.intercepted(interrupt):
        store.publish("run", stores.contents([stores.commit(store, "a", 9)]))
    return stores.broken_versions(store)


def test_gc_between_check_and_link_can_do_no_harm(store: Store) -> None:
    assert publish_while_gc_runs(store) == []


def test_a_result_that_gc_took_before_publish_stops_it(store: Store) -> None:
    contents = stores.contents([stores.commit(store, "a", 9)])
    gc(store, older_than=0)
    with pytest.raises(Incomplete):
        store.publish("run", contents)
    assert store.versions("run") == [1, 2, 3]


def test_mutant_writers_take_no_shared_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "locked", lambda *_, **__: nullcontext())
    assert publish_while_gc_runs(store) != []


def test_mutant_gc_takes_no_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_module, "locked", lambda *_, **__: nullcontext())
    assert publish_while_gc_runs(store) != []


def test_mutant_gc_that_ignores_versions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_module, "run_names", lambda places: [])
    gc(store)
    assert stores.broken_versions(store) != []
    assert verify.verify(store) != []


def test_mutant_gc_that_ignores_age(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stores.commit(store, "a", 8)
    monkeypatch.setattr(gc_module, "_is_old", lambda path, before: True)
    gc(store)
    assert 8 not in there(store)
