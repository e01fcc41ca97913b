"""What a store promises, said as one class, and stores that break a promise, which the class must notice."""

from __future__ import annotations

import inspect
import logging
import os
import pickle
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from support import stores
from support.trees import tree

from storage.errors import Damaged, Incomplete, Locked, NoSpace, NotFound, StoreError, UsageError
from storage.store import disk, drafts, publishing
from storage.store.places import Places
from storage.store.results import Result
from storage.store.store import Contents, Entry, Store
from storage.store.verify import verify


class StoreContract:
    """Every kind of store passes these."""

    def test_a_committed_result_is_found_as_it_was_written(self, store: Store) -> None:
        made = stores.commit(store, "a", 1)
        found = store.find("a", stores.key("a", 1))
        assert found == made
        assert found.counts == {"number": 1}
        assert found.happened() == {"number": 1}
        assert found.files == tuple(sorted(stores.content("a", 1)))
        assert {name: found.file(name).read_bytes() for name in found.files} == stores.content("a", 1)

    def test_nothing_is_found_before_commit_or_after_an_abandoned_draft(self, store: Store) -> None:
        with store.draft("a", stores.key("a", 1)) as draft:
            stores.write(draft.path, "a", 1)
            assert store.find("a", stores.key("a", 1)) is None
        assert store.find("a", stores.key("a", 1)) is None
        assert list(store.places.tmp.iterdir()) == []

    def test_an_error_in_the_draft_comes_through_and_leaves_nothing(self, store: Store) -> None:
        def work() -> None:
            with store.draft("a", stores.key("a", 1)) as draft:
                stores.write(draft.path, "a", 1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            work()
        assert list(store.places.tmp.iterdir()) == []

    def test_the_first_commit_of_a_key_wins(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        name = stores.key("a", 1)
        with store.draft("a", name) as ours, store.draft("a", name) as theirs:
            stores.write(theirs.path, "a", 1)
            first = theirs.commit({"number": 1})
            stores.write(ours.path, "a", 2)
            with caplog.at_level(logging.WARNING):
                assert ours.commit({"number": 2}) == first
        assert not stores.wrong(store)
        assert len(caplog.records) == 1
        assert name in caplog.text

    def test_an_equal_second_commit_is_silent(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        first = stores.commit(store, "a", 1)
        with caplog.at_level(logging.WARNING), store.draft("a", first.key) as draft:
            stores.write(draft.path, "a", 1)
            assert draft.commit({"number": 1}).digest == first.digest
        assert not caplog.records

    def test_a_result_with_a_damaged_manifest_is_replaced(self, store: Store) -> None:
        made = stores.commit(store, "a", 1)
        (made.path / "manifest.json").write_bytes(b"{}")
        assert store.find("a", made.key) is None
        assert stores.commit(store, "a", 1).digest == made.digest
        assert not stores.wrong(store)

    def test_versions_count_up_and_equal_contents_make_none(self, store: Store) -> None:
        first, second = (stores.contents([stores.commit(store, "a", number)], n=number) for number in (1, 2))
        assert [store.publish("run", each) for each in (first, first, second, second)] == [1, 1, 2, 2]
        assert store.versions("run") == [1, 2]
        assert store.names() == ["run"]
        assert store.version("run").contents == second
        assert store.version("run", 1).contents == first
        assert store.version("run").previous == store.version("run", 1).sha256

    def test_two_publishers_at_once_get_two_versions(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where locks do not reach other machines: the link decides."""
        monkeypatch.setattr(publishing, "locked", lambda path: nullcontext())
        ours, theirs = (stores.contents([stores.commit(store, "a", number)], n=number) for number in (1, 2))
        waiting = [theirs]

        def overtake(when: str, operation: str, path: Path) -> None:
            if (when, operation) == ("before", "link") and waiting:
                store.publish("run", waiting.pop())

        with disk.intercepted(overtake):
            assert store.publish("run", ours) == 2
        assert [store.version("run", number).contents for number in (1, 2)] == [theirs, ours]
        assert not verify(store)

    def test_rollback_publishes_anew(self, store: Store) -> None:
        for number in (1, 2):
            store.publish("run", stores.contents([stores.commit(store, "a", number)], n=number))
        assert store.rollback("run", 1) == 3
        assert store.version("run").contents == store.version("run", 1).contents

    def test_contents_have_one_order(self, store: Store) -> None:
        made = [stores.commit(store, stage, number) for stage in "ab" for number in (1, 2)]
        assert store.publish("run", stores.contents(made)) == store.publish("run", stores.contents(made[::-1]))

    def test_publish_refuses_what_is_not_there(self, store: Store) -> None:
        made = stores.commit(store, "a", 1)
        absent = Entry(stage="a", key=stores.key("a", 2), manifest=made.digest)
        other = Entry(stage="a", key=made.key, manifest="0" * 64)
        for entry, error in ((absent, Incomplete), (other, Damaged)):
            with pytest.raises(error, match=entry.key):
                store.publish("run", Contents({}, [stores.entry(made), entry]))
        with pytest.raises(UsageError):
            store.publish("run", Contents({}, []))
        assert store.names() == []

    def test_what_is_not_there_is_said(self, store: Store) -> None:
        stores.commit(store, "a", 1)
        store.publish("run", stores.contents([stores.commit(store, "a", 1)]))
        with pytest.raises(NotFound, match="run"):
            store.version("nur")
        with pytest.raises(NotFound, match="only 1"):
            store.version("run", 7)
        with pytest.raises(Incomplete):
            store.get("a", stores.key("a", 9))
        with pytest.raises(Damaged, match="has no file 'x'"):
            stores.commit(store, "a", 1).file("x")

    @pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "a\\b", "a\0", "ä", "x" * 65, "a b", "-\n", "../x"])
    def test_no_odd_name_reaches_a_path(self, name: str, store: Store) -> None:
        made = stores.commit(store, "a", 1)
        for act in (
            lambda: store.publish(name, stores.contents([made])),
            lambda: store.find(name, made.key),
            lambda: store.draft(name, made.key).__enter__(),
            lambda: store.find("a", name),
            lambda: store.version(name),
            lambda: store.lock(name).__enter__(),
        ):
            with pytest.raises(UsageError):
                act()

    def test_only_one_works_on_a_run(self, store: Store) -> None:
        with store.lock("run"):
            with pytest.raises(Locked, match=f"'run'.*process {os.getpid()}"), store.lock("run"):
                pass
            with store.lock("other"):
                pass
        with store.lock("run"):
            pass

    def test_waiting_for_a_lock_gets_it(self, store: Store) -> None:
        got = threading.Event()

        def wait() -> None:
            with store.lock("run", wait=True):
                got.set()

        with store.lock("run"):
            waiter = threading.Thread(target=wait)
            waiter.start()
            assert not got.wait(0.1)
        waiter.join(5)
        assert got.is_set()

    def test_a_forked_child_keeps_no_lock(self, store: Store) -> None:
        """A process takes the lock, forks a child, and dies; the child lives on, and the lock must be free."""
        (ready, say_ready), (end, say_end) = os.pipe(), os.pipe()
        parent = os.fork()
        if parent == 0:
            with store.lock("run"):
                if os.fork() == 0:
                    os.write(say_ready, b"x")
                    os.close(say_end)
                    os.read(end, 1)
                else:
                    os.read(ready, 1)
                os._exit(0)
        os.waitpid(parent, 0)
        try:
            with store.lock("run"):
                pass
        finally:
            for descriptor in (ready, say_ready, end, say_end):
                os.close(descriptor)

    def test_a_forked_child_leaves_its_parents_draft_alone(self, store: Store) -> None:
        context = store.draft("a", stores.key("a", 1))
        draft = context.__enter__()
        stores.write(draft.path, "a", 1)
        child = os.fork()
        if child == 0:
            context.__exit__(None, None, None)
            os._exit(0)
        os.waitpid(child, 0)
        draft.commit({"number": 1})
        context.__exit__(None, None, None)
        assert not stores.wrong(store)

    def test_a_draft_takes_no_links_and_no_manifest(self, store: Store) -> None:
        with store.draft("a", stores.key("a", 1)) as draft:
            (draft.path / "link").symlink_to("data.bin")
            with pytest.raises(StoreError, match="link"):
                draft.commit({})
        with store.draft("a", stores.key("a", 1)) as draft:
            (draft.path / "manifest.json").write_bytes(b"")
            with pytest.raises(RuntimeError):
                draft.commit({})

    def test_a_swept_draft_never_commits_what_is_left(self, store: Store) -> None:
        with store.draft("a", stores.key("a", 1)) as draft:
            stores.write(draft.path, "a", 1)
            draft.path.parent.rename(store.places.tmp / "gone")
            with pytest.raises(FileNotFoundError):
                draft.commit({"number": 1})
        assert store.find("a", stores.key("a", 1)) is None

    def test_a_lost_version_file_is_read_from_its_copy(self, store: Store) -> None:
        for number in (1, 2):
            store.publish("run", stores.contents([stores.commit(store, "a", number)], n=number))
        store.places.version("run", 2).unlink()
        assert store.version("run").number == 2
        store.places.version("run", 2).write_bytes(b"{}")
        assert store.version("run").about == {"n": 2}

    def test_publish_heals_an_absent_version_file(self, store: Store) -> None:
        contents = stores.contents([stores.commit(store, "a", 1)])
        for lost in (store.places.version, store.places.copy):
            store.publish("run", contents)
            lost("run", 1).unlink()
            assert store.publish("run", contents) == 1
            assert lost("run", 1).exists()
        assert not verify(store)

    def test_the_same_work_gives_the_same_bytes(self, store: Store, tmp_path: Path) -> None:
        other = Store(tmp_path / "other")
        for each in (store, other):
            made = [stores.commit(each, "a", number) for number in (1, 2)]
            each.publish("run", stores.contents(made))
        assert tree(store.root) == tree(other.root)


class TestStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(tmp_path / "store")


class TestStoreBehindALink(StoreContract):
    """A store named by a relative path, through a symbolic link."""

    @pytest.fixture
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        monkeypatch.chdir(tmp_path)
        return Store(Path("link/store"))


class Blind(set[int]):
    """A set that doesn't tell what is in it."""

    def __iter__(self) -> Iterator[int]:
        return iter(())


def overwrite(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


def replace(places: Places, ours: Result) -> None:
    drafts.set_aside(places, places.result(ours.stage, ours.key), lambda moved: False)


MUTANTS: dict[str, tuple[str, str, Any]] = {
    "storage.store.disk.link": ("test_two_publishers_at_once_get_two_versions", "overwrites", overwrite),
    "storage.store.publishing._check_and_sync": (
        "test_publish_refuses_what_is_not_there",
        "checks nothing",
        lambda *_: None,
    ),
    "storage.store.drafts._adopt": ("test_the_first_commit_of_a_key_wins", "lets the last commit win", replace),
    "storage.store.places.is_name": ("test_no_odd_name_reaches_a_path", "lets any name pass", lambda name: True),
    "fcntl.flock": ("test_only_one_works_on_a_run", "locks nothing", lambda *_: None),
    "storage.store.locks._held": ("test_a_forked_child_keeps_no_lock", "leaves locks open in children", Blind()),
    "os.getpid": ("test_a_forked_child_leaves_its_parents_draft_alone", "tells no child from its parent", lambda: 7),
    "storage.store.disk.remove_tree": (
        "test_nothing_is_found_before_commit_or_after_an_abandoned_draft",
        "clears nothing",
        lambda path: None,
    ),
    "storage.store.publishing.heal": (
        "test_a_lost_version_file_is_read_from_its_copy",
        "writes no copies",
        lambda *_: None,
    ),
}


@pytest.mark.parametrize("place", MUTANTS)
def test_mutant_is_noticed(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    promise, _, fault = MUTANTS[place]
    check = getattr(StoreContract(), promise)
    given = {"store": Store(tmp_path / "store"), "caplog": caplog, "name": "a/b", "monkeypatch": monkeypatch}
    wanted = {name: given[name] for name in inspect.signature(check).parameters}
    monkeypatch.setattr(place, fault)
    with pytest.raises((AssertionError, pytest.fail.Exception, StoreError, OSError)):
        check(**wanted)


def test_stores_travel_to_other_processes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert pickle.loads(pickle.dumps(store)) == store
    for error in (NoSpace("x", 3, 2), Damaged("y")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))


def test_opening_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.find("a", stores.key("a", 1)) is None
    assert (store.names(), verify(store)) == ([], [])
    with pytest.raises(NotFound, match="none yet"):
        store.version("run")
    assert not store.root.exists()
