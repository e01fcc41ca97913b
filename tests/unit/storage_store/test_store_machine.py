"""The store against a dictionary: whatever is written, killed, published, damaged, mended and collected, in any order."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import faults, stores
from support.trees import strays

from storage.errors import StoreError
from storage.store import gc as gc_module
from storage.store import verify
from storage.store.gc import gc
from storage.store.repair import repair
from storage.store.store import Store

NUMBERS = st.integers(0, 4)


class StoreMachine(RuleBasedStateMachine):
    """`committed` maps result numbers to digests; `published` holds each version's numbers, by version."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.store = Store(self.root / "store")
        self.committed: dict[int, str] = {}
        self.published: dict[int, tuple[int, ...]] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @initialize()
    def start(self) -> None:
        self.commit(0)

    @rule(number=NUMBERS)
    def commit(self, number: int) -> None:
        self.committed[number] = stores.commit(self.store, "a", number).digest

    @rule(number=NUMBERS)
    def abandon(self, number: int) -> None:
        with self.store.draft("a", stores.key("a", number)) as draft:
            stores.write(draft.path, "a", number)

    @rule(number=NUMBERS, at=st.integers(1, 40), kind=st.sampled_from(["kill before", "kill after", "power"]))
    def die_in_commit(self, number: int, at: int, kind: str) -> None:
        with faults.striking(self.store.root, kind, at):
            stores.commit(self.store, "a", number)
        found = self.store.find("a", stores.key("a", number))
        if found is not None:
            self.committed[number] = found.digest

    @rule(number=NUMBERS, at=st.integers(1, 30), kind=st.sampled_from(["ENOSPC", "short", "EIO"]))
    def fail_in_commit(self, number: int, at: int, kind: str) -> None:
        try:
            with faults.striking(self.store.root, kind, at):
                self.commit(number)
        except (OSError, StoreError):
            found = self.store.find("a", stores.key("a", number))
            if found is not None:  # renamed, and the sync of the folder failed
                self.committed[number] = found.digest

    @rule(numbers=st.sets(NUMBERS, min_size=1))
    def publish(self, numbers: set[int]) -> None:
        chosen = tuple(sorted(numbers & set(self.committed))) or tuple(self.committed)[:1]
        if chosen:
            self._published(chosen, self.store.publish("run", self._contents(chosen)))

    @rule(numbers=st.sets(NUMBERS, min_size=1), at=st.integers(1, 20))
    def die_in_publish(self, numbers: set[int], at: int) -> None:
        chosen = tuple(sorted(numbers & set(self.committed)))
        if chosen:
            contents = self._contents(chosen)
            with faults.striking(self.store.root, "kill before", at):
                self.store.publish("run", contents)
            if self.store.names() and self.store.version("run").contents == contents:
                self._published(chosen, self.store.publish("run", contents))

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.published)))
        if set(self.published[number]) <= set(self.committed):
            self._published(self.published[number], self.store.rollback("run", number))

    @rule(keep=st.sampled_from([None, 1, 2]))
    def collect(self, keep: int | None) -> None:
        gc(self.store, older_than=0, keep=keep, accept_lost=not self.published)
        kept = sorted(self.published)[-keep:] if keep else sorted(self.published)
        self.published = {number: self.published[number] for number in kept}
        named = {number for numbers in self.published.values() for number in numbers}
        self.committed = {number: digest for number, digest in self.committed.items() if number in named}
        assert strays(self.store.root) == []

    @rule(dead=st.integers(1, 12), keep=st.sampled_from([None, 1]))
    def die_in_gc(self, dead: int, keep: int | None) -> None:
        with faults.striking(self.store.root, "kill before", dead):
            gc(self.store, older_than=0, keep=keep, accept_lost=not self.published)
        self.collect(keep)

    @precondition(lambda self: self.committed)
    @rule(data=st.data(), delete=st.booleans())
    def damage_and_mend(self, data: st.DataObject, delete: bool) -> None:
        files = sorted(path for part in ("stages", "runs") for path in (self.store.root / part).rglob("*"))
        path = data.draw(st.sampled_from([path for path in files if path.is_file() and path.stat().st_size]))
        path.unlink() if delete else path.write_bytes(path.read_bytes()[:-1] + b"?")
        damages = verify.verify(self.store)
        assert self.store.places.relative(path) in {damage.path for damage in damages}
        for _, key in repair(self.store, damages):
            self.commit(next(number for number in range(5) if stores.key("a", number) == key))

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        assert stores.wrong(self.store) == []
        assert {result.counts["number"]: result.digest for result in self.store.results("a")} == self.committed
        assert self.store.versions("run") == sorted(self.published)
        for number, results in self.published.items():
            assert self.store.version("run", number).contents == self._contents(results)
        assert stores.broken_versions(self.store) == []

    @invariant()
    def nothing_is_damaged(self) -> None:
        assert verify.verify(self.store) == []

    def _contents(self, numbers: tuple[int, ...]) -> stores.Contents:
        return stores.contents([self.store.get("a", stores.key("a", number)) for number in numbers])

    def _published(self, numbers: tuple[int, ...], version: int) -> None:
        last = max(self.published, default=0)
        same = bool(last) and set(self.published[last]) == set(numbers)
        assert version == (last if same else last + 1)
        self.published[version] = numbers


QUICK = settings(max_examples=25, stateful_step_count=20, deadline=None, derandomize=True)
HASTY = settings(QUICK, phases=[Phase.generate], report_multiple_bugs=False)
"""For faults that are planted: nobody needs the smallest example."""
THOROUGH = settings(max_examples=1000, stateful_step_count=75, deadline=None)


def test_any_order_of_events() -> None:
    run_state_machine_as_test(StoreMachine, settings=QUICK)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_any_long_order_of_events() -> None:
    run_state_machine_as_test(StoreMachine, settings=THOROUGH)


def test_mutant_gc_that_forgets_one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_module, "numbers", lambda places, run: [])
    with pytest.raises((AssertionError, StoreError, ExceptionGroup)):
        run_state_machine_as_test(StoreMachine, settings=HASTY)


def test_mutant_repair_that_sets_nothing_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.store.repair.set_aside", lambda *_: Path())
    with pytest.raises((AssertionError, StoreError, ExceptionGroup)):
        run_state_machine_as_test(StoreMachine, settings=HASTY)
