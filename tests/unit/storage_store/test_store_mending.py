"""Faults at every change that repair makes: the sound results stay where they are, and a second repair finishes."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from support import faults, stores
from support.trees import tree

from storage.store import verify
from storage.store.repair import repair
from storage.store.result_checks import faults as real_faults
from storage.store.store import Store


def compute(root: Path) -> None:
    store = Store(root)
    for number in (1, 2):
        store.publish("run", stores.contents([stores.commit(store, "a", each) for each in (number, 3, 4)], n=number))


def damage(root: Path) -> None:
    """Break what repair mends in each of its ways: a version, a copy, a manifest, a record, a file."""
    places = Store(root).places
    places.version("run", 1).unlink()
    places.copy("run", 2).write_bytes(b"{}")
    places.published.write_bytes(b"{}")
    (places.result("a", stores.key("a", 1)) / "manifest.json").unlink()
    (places.result("a", stores.key("a", 2)) / "happened.json").write_bytes(b"{}")
    (places.result("a", stores.key("a", 3)) / "data.bin").write_bytes(b"")


def mend(root: Path) -> None:
    store = Store(root)
    repair(store, verify.verify(store))
    for number in (1, 2, 3, 4):
        stores.commit(store, "a", number)


class Sweep:
    """Sweeps a repair; result 4 is sound, and versions 1 and 2 have one sound file each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.numbers, self.start = folder, itertools.count(), folder / "start"
        compute(self.start)
        self.whole = tree(self.start)
        damage(self.start)
        self.sound = {name: digest for name, digest in tree(self.start).items() if self.is_sound(name)}

    @staticmethod
    def is_sound(name: str) -> bool:
        return stores.key("a", 4) in name or name in ("runs/run/1.json.copy", "runs/run/2.json")

    def fresh(self) -> Path:
        return Path(shutil.copytree(self.start, self.folder / f"store{next(self.numbers)}"))

    def check(self, root: Path, what: str) -> None:
        assert tree(root).items() >= self.sound.items(), what
        mend(root)
        assert tree(root) == self.whole, what
        assert real_faults(verify.verify(Store(root))) == [], what

    def run(self, kinds: tuple[str, ...], others: tuple[str, ...] = ()) -> int:
        return faults.sweep(self.fresh, mend, self.check, kinds, others)


def test_a_repair_that_fails_anywhere_is_finished_by_the_next(memory: Path) -> None:
    assert Sweep(memory).run((), others=("kill before", "EIO", "ENOSPC", "power", "EIO after")) > 60


@pytest.mark.slow
def test_a_repair_survives_every_fault(memory: Path) -> None:
    assert Sweep(memory).run(faults.FAULTS) > 400


def test_mutant_repair_that_does_not_judge_again(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outdated list of damages then costs sound results."""
    sweep = Sweep(memory)
    listed = verify.verify(Store(sweep.start))
    mend(sweep.start)
    repair(Store(sweep.start), listed)
    assert tree(sweep.start) == sweep.whole
    monkeypatch.setattr("storage.store.repair._broken", lambda *_, **__: {"x"})
    repair(Store(sweep.start), listed)
    assert tree(sweep.start) != sweep.whole
