"""gc removes what nobody can want, and nothing that anybody does."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from support import stores
from support.trees import strays, tree

from storage.errors import Damaged, Incomplete, Locked, Lost, UsageError
from storage.store import disk, drafts, updates, verify
from storage.store import gc as gc_module
from storage.store.store import Store

DAY = 86_400


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Versions 1 to 3 of a run name results 1 to 3 each with 0; result 9 has no name."""
    store = Store(tmp_path / "store")
    for number in (1, 2, 3):
        results = [stores.commit(store, "a", 0), stores.commit(store, "a", number)]
        store.publish("run", stores.contents(results, n=number))
    stores.commit(store, "a", 9)
    return store


def gc(store: Store, *, days: float = 0, **options: Any) -> list[str]:
    """Collect garbage, looking from some days later."""
    return gc_module.gc(store, now=time.time() + days * DAY, **options)


def there(store: Store) -> set[int]:
    return {result.counts["number"] for result in store.results("a")}


def test_unnamed_and_old_goes_the_rest_stays(store: Store) -> None:
    before = tree(store.root)
    assert gc(store) == []
    assert gc(store, days=2, dry_run=True) == [f"stages/a/{stores.key('a', 9)}"]
    assert tree(store.root) == before
    assert gc(store, days=2) == [f"stages/a/{stores.key('a', 9)}"]
    assert there(store) == {0, 1, 2, 3}
    assert (verify.verify(store), strays(store.root), gc(store, days=2)) == ([], [], [])


@pytest.mark.parametrize("touch", ["content", "inode"])
def test_the_younger_of_two_times_is_the_age(touch: str, store: Store) -> None:
    """What was restored or moved has an old time of its content, and a new one of its inode."""
    manifest = store.places.result("a", stores.key("a", 9)) / "manifest.json"
    long_ago, later = time.time() - 9 * DAY, time.time() + 9 * DAY
    os.utime(manifest, (long_ago, long_ago) if touch == "inode" else (later, later))
    assert gc(store, days=0.5 if touch == "inode" else 5) == []
    assert gc(store, days=11) == [f"stages/a/{stores.key('a', 9)}"]


def test_keep_drops_old_versions_first(store: Store) -> None:
    gone = gc(store, days=2, keep=2)
    assert set(gone) == {"runs/run/1.json", *(f"stages/a/{stores.key('a', number)}" for number in (1, 9))}
    assert (there(store), store.versions("run")) == ({0, 2, 3}, [2, 3])
    assert verify.verify(store) == []
    assert gc(store, days=2, keep=2) == []


def test_young_versions_are_kept(store: Store) -> None:
    later = time.time() + 2 * DAY
    for path in (store.places.version("run", 2), store.places.copy("run", 2)):
        os.utime(path, (later, later))
    assert "runs/run/1.json" in gc(store, days=2, keep=1)
    assert store.versions("run") == [2, 3]
    assert verify.verify(store) == []


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
    dead, live = (f"a.{stores.key('a', 1)}.{number}.{number:016x}" for number in (1, 2))
    for name in (dead, live):
        disk.make_folder(store.places.tmp / name)
        disk.write_file(store.places.tmp / name / drafts.LOCK, b"")
        (store.places.tmp / name / "result").mkdir()
    (store.places.tmp / f"gc.{3:016x}").mkdir()
    with drafts.locked(store.places.tmp / live / drafts.LOCK):
        assert gc(store) == [f"tmp/gc.{3:016x}"]
        assert {name for name in gc(store, days=2) if name.startswith("tmp")} == {f"tmp/{dead}"}
    assert gc(store, older_than=0) == [f"tmp/{live}"]
    assert strays(store.root) == []


def test_what_is_left_is_counted(store: Store) -> None:
    lines: list[str] = []
    gc(store, days=2, say=lines.append)
    assert lines == []
    stores.commit(store, "a", 9)
    (stores.commit(store, "a", 8).path / "notes.txt").write_text("mine")
    (store.places.tmp / "notes").mkdir()
    gc(store, say=lines.append)
    gc(store, older_than=0, say=lines.append)
    assert lines == [
        "left: 1 foreign in tmp/, 2 results too young",
        "left: 1 foreign in tmp/, 1 results with foreign files",
    ]


def hide(store: Store, *names: str) -> Path:
    away = store.root.parent / "away"
    away.mkdir()
    for name in names:
        (store.root / name).rename(away / name)
    return away


@pytest.mark.parametrize("names", [("runs",), ("runs", "published.json"), ("published.json",), ("actlas-store.json",)])
def test_gc_stops_where_versions_may_be_out_of_sight(names: tuple[str, ...], store: Store) -> None:
    away, before = hide(store, *names), tree(store.root)
    for dry_run in (False, True):
        with pytest.raises(Lost, match=r"runs|published\.json|actlas-store\.json"):
            gc(store, older_than=0, dry_run=dry_run)
    assert tree(store.root) == before
    for name in names:
        (away / name).rename(store.root / name)
    assert gc(store, older_than=0) == [f"stages/a/{stores.key('a', 9)}"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_gc_stops_where_one_version_is_not_there(number: int, store: Store) -> None:
    for path in (store.places.version("run", number), store.places.copy("run", number)):
        path.unlink()
    with pytest.raises(Lost, match=f"version {number} of run 'run'"):
        gc(store, older_than=0)
    gone = gc(store, older_than=0, accept_lost=True)
    assert set(gone) == {f"stages/a/{stores.key('a', each)}" for each in (number, 9)}
    assert gc(store, older_than=0) == []  # it was accepted once and for all
    assert verify.verify(store) == []
    assert store.publish("run", stores.contents([stores.commit(store, "a", 7)])) == 4


def test_gc_stops_where_no_version_stands(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    stores.commit(store, "a", 1)
    with pytest.raises(Lost, match="results and no version"):
        gc(store, older_than=0)
    assert gc(store, older_than=0, accept_lost=True) == [f"stages/a/{stores.key('a', 1)}"]


def test_what_was_restored_within_a_day_stays(store: Store) -> None:
    """A version that names it may be restored later, and published after published.json was copied."""
    result = store.places.result("a", stores.key("a", 9))
    shutil.copytree(result, result.parent / "copy")
    shutil.rmtree(result)
    (result.parent / "copy").rename(result)
    lines: list[str] = []
    assert gc(store, older_than=0, say=lines.append) == []
    assert lines == ["left: 1 results restored or copied here within a day"]
    assert gc(store, days=2) == [f"stages/a/{stores.key('a', 9)}"]


def test_announced_updates_are_kept(store: Store) -> None:
    assert updates.keep(store.places, "run", "2026", {"weights": "x"})
    gc(store, days=2)
    assert updates.read(store.places, "run") is not None
    assert verify.verify(store) == []


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
    monkeypatch.setattr(gc_module, "_check_versions", lambda places: None)
    gc(store, days=2)
    assert stores.broken_versions(store) != []
    assert verify.verify(store) != []


def test_mutant_gc_that_ignores_age(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_module, "_age", lambda path, now: 2 * DAY)
    gc(store)
    assert 9 not in there(store)


def test_mutant_gc_that_looks_at_no_evidence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_module, "_check_versions", lambda places: None)
    hide(store, "runs")
    gc(store, older_than=0)
    assert there(store) == set()
