"""Reads that fail: an error of the system is no damage, is never taken for a missing file, and nothing is moved for it."""

from __future__ import annotations

import ast
import errno
import itertools
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support import faults, house, stores
from support.trees import strays, tree

from storage.artefacts import arrays, tables
from storage.errors import CannotTell, Damaged, StoreError
from storage.run import open_store
from storage.store import damage, reading, verify
from storage.store.gc import gc
from storage.store.repair import repair
from storage.store.result_checks import faults as real_faults
from storage.store.store import Store

CONTENTS = {"n": 1}


def ask(root: Path) -> None:
    """Open a run as every question does, and read what it names."""
    store = open_store(root)
    for name in store.names():
        for number in store.versions(name):
            for entry in store.version(name, number).stages:
                result = store.get(entry.stage, entry.key, entry.manifest)
                for file in result.files:
                    result.data(file)
    assert [store.find("a", stores.key("a", number)) is not None for number in (1, 9)] == [True, False]
    assert len(store.results("a")) == 2


def check(root: Path) -> None:
    found = verify.verify(Store(root))
    assert {each.kind for each in found} <= {"unreadable"}, found


def mend(root: Path) -> None:
    repair(Store(root), verify.verify(Store(root)))


def sweep_garbage(root: Path) -> None:
    gc(Store(root), older_than=0)


def run_again(root: Path) -> None:
    """Find everything and publish it: nothing is new."""
    store = Store(root)
    with store.lock("run"), store.writing():
        store.publish("run", stores.contents([stores.commit(store, "a", number) for number in (1, 2)], **CONTENTS))


def roll_back(root: Path) -> None:
    Store(root).rollback("run", 1)


JOBS = (ask, check, mend, sweep_garbage, run_again, roll_back)


class Sweep:
    """Sweeps a job over a store that is whole: two results, one version."""

    def __init__(self, folder: Path, job: Callable[[Path], None]) -> None:
        self.folder, self.job, self.numbers = folder, job, itertools.count()
        self.start = folder / "start"
        run_again(self.start)
        self.whole = tree(self.start)

    def fresh(self) -> Path:
        return Path(shutil.copytree(self.start, self.folder / f"store{next(self.numbers)}"))

    def check(self, root: Path, what: str, error: Exception | None) -> None:
        assert error is None or isinstance(error, StoreError), f"{what}: {error!r}"
        assert not isinstance(error, Damaged), f"{what}: {error}"
        assert error is None or "--repair" not in str(error), f"{what}: {error}"
        assert tree(root) == self.whole, what
        assert not [name for name in strays(root) if "aside" in name], what
        assert verify.verify(Store(root)) == [], what
        self.job(root)

    def run(self, *, in_turn: bool = False) -> int:
        return faults.sweep_reads(self.fresh, self.job, self.check, in_turn=in_turn)


@pytest.mark.parametrize("job", JOBS)
def test_no_failed_read_moves_or_changes_anything(job: Callable[[Path], None], memory: Path) -> None:
    assert Sweep(memory, job).run(in_turn=True) > 15


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_every_failed_read_in_every_way(job: Callable[[Path], None], memory: Path) -> None:
    assert Sweep(memory, job).run() > 60


def test_repair_of_a_damaged_result_under_failing_reads(memory: Path) -> None:
    assert repair_under_faults(memory, in_turn=True, step=5) > 50


@pytest.mark.slow
def test_repair_of_a_damaged_result_under_every_failing_read(memory: Path) -> None:
    assert repair_under_faults(memory) > 800


def repair_under_faults(memory: Path, *, in_turn: bool = False, step: int = 1) -> int:
    """The damaged result may stay or go; the whole one beside it stays where it is."""
    sweep = Sweep(memory, mend)
    damaged = sweep.start / "stages" / "a" / stores.key("a", 1) / "data.bin"
    damaged.write_bytes(b"?" * damaged.stat().st_size)
    whole = {name: digest for name, digest in tree(sweep.start).items() if stores.key("a", 1) not in name}

    def check(root: Path, what: str, error: Exception | None) -> None:
        assert error is None or isinstance(error, CannotTell), f"{what}: {error!r}"
        assert tree(root).items() >= whole.items(), what
        mend(root)
        run_again(root)
        assert real_faults(verify.verify(Store(root))) == [], what

    return faults.sweep_reads(sweep.fresh, mend, check, in_turn=in_turn, step=step)


def test_mutant_an_error_of_the_system_that_counts_as_missing(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MISSING", reading.MISSING | set(faults.CODES))
    data, status = reading.data, reading.status
    monkeypatch.setattr(reading, "data", lambda path: _or_none(lambda: data(path)))
    monkeypatch.setattr(reading, "status", lambda path, *, follow=True: _or_none(lambda: status(path, follow=follow)))
    with pytest.raises((AssertionError, OSError)):
        Sweep(memory, mend).run(in_turn=True)


def _or_none(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, CannotTell):
        return None


def test_repair_refuses_what_verify_could_not_read(memory: Path) -> None:
    sweep = Sweep(memory, mend)
    unread = sweep.start / "stages" / "a" / stores.key("a", 1) / "data.bin"

    def fail(operation: str, path: Path) -> None:
        if path == unread:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    store = Store(sweep.start)
    with reading.intercepted(fail):
        found = verify.verify(store)
        assert [(each.kind, each.path) for each in found] == [("unreadable", store.places.relative(unread))]
        with pytest.raises(CannotTell, match=r"data\.bin cannot be read: Permission denied; check"):
            repair(store, found)
    with pytest.raises(CannotTell):
        repair(store, found)
    assert tree(sweep.start) == sweep.whole


def test_arrays_and_tables_tell_errors_of_the_system_from_damage(tmp_path: Path) -> None:
    arrays.write_group(tmp_path / "x.zarr", {"x": np.arange(200.0)}, chunk_rows=2)
    tables.write_table(tmp_path / "x.parquet", pa.table({"x": np.arange(200)}), row_group_size=50)
    for read in (
        lambda: arrays.read_array(tmp_path / "x.zarr", "x"),
        lambda: arrays.read_array(tmp_path / "x.zarr", "x", np.array([7, 190])),
        lambda: tables.read_table(tmp_path / "x.parquet"),
        lambda: tables.read_sorted(tmp_path / "x.parquet", "x", [7, 190]),
    ):
        tables._checked_footer.cache_clear()
        with reading.intercepted(counting := faults.ReadFault()):
            read()
        assert counting.count > 2
        for at in range(1, counting.count + 1):
            tables._checked_footer.cache_clear()
            code = faults.CODES[at % len(faults.CODES)]
            with reading.intercepted(faults.ReadFault("lasting", at, code)), pytest.raises(CannotTell) as caught:
                read()
            assert (caught.value.code, "x." in caught.value.path) == (code, True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.EIO, "x"), errno.EIO),
        (RuntimeError("can't start new thread"), errno.EAGAIN),
        (MemoryError(), errno.ENOMEM),
    ],
)
def test_a_lack_behind_an_error_of_a_library_is_no_damage(error: Exception, code: int, tmp_path: Path) -> None:
    def decode() -> None:
        with damage.errors_as_damage(tmp_path / "x"):
            try:
                raise error
            except Exception as cause:
                raise ValueError("bad chunk") from cause

    with pytest.raises(CannotTell) as caught:
        decode()
    assert caught.value.code == code


def test_mutant_any_error_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays.write_group(tmp_path / "x.zarr", {"x": np.arange(5)})
    monkeypatch.setattr(damage, "StoreError", KeyboardInterrupt)
    monkeypatch.setattr(damage.reading, "system_error", lambda error: None)
    with reading.intercepted(faults.ReadFault("lasting", 1)), pytest.raises(Damaged):
        arrays.read_array(tmp_path / "x.zarr", "x")


def test_what_lies_in_place_of_a_file_is_damage_and_hangs_nobody(memory: Path) -> None:
    sweep = Sweep(memory, ask)
    result = Store(sweep.start).get("a", stores.key("a", 1))
    for put in (Path.mkdir, os.mkfifo):
        (result.path / "manifest.json").unlink()
        put(result.path / "manifest.json")
        with pytest.raises(Damaged, match="not a regular file"):
            Store(sweep.start).get("a", result.key)
        shutil.rmtree(sweep.start)
        run_again(sweep.start)


# No module but `reading` opens, lists or looks at the store's files

DIRECT = {"read_bytes", "read_text", "open", "is_dir", "is_file", "exists", "iterdir", "rglob", "glob", "stat", "lstat"}
OF_OS = {"open", "stat", "lstat", "scandir", "listdir", "walk", "access"}
OF_DRAFTS_AND_LOCKS = {
    "storage.store.locks.holder",  # /proc/locks
    "storage.store.disk.__init__",
    "storage.store.disk.sync",
    "storage.store.disk.open_lock",
    "storage.store.drafts.commit",  # the draft's own folder
    "storage.store.drafts._written",
    "storage.artefacts.arrays._flush",
}
"""Functions that look at what they write themselves, or at no file of the store."""


def direct_reads(module: str, source: str) -> list[str]:
    """Return the functions that open, list or look at files without `reading`."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
            if any(_is_direct(call) for call in calls):
                found.append(f"{module}.{function.name}")
    return found


def _is_direct(call: ast.expr) -> bool:
    if isinstance(call, ast.Name):
        return call.id == "open"
    if not isinstance(call, ast.Attribute):
        return False
    owner = call.value.id if isinstance(call.value, ast.Name) else ""
    if owner == "os":
        return call.attr in OF_OS
    return call.attr in DIRECT and owner not in {"reading", "entry", "zarr"}


def test_the_store_is_read_in_one_place() -> None:
    sources = {name: path.read_text() for name, path in house.modules().items()}
    rooms = ("storage.store", "storage.artefacts", "storage.run")
    found = {
        name
        for module, source in sources.items()
        if module.startswith(rooms) and module != "storage.store.reading"
        for name in direct_reads(module, source)
    }
    assert found == OF_DRAFTS_AND_LOCKS


def test_no_caller_opens_what_a_result_holds() -> None:
    """`result.file(name)` gives a path to verified readers of tables and arrays; other files are read by `data` or `json`."""
    files = re.compile(r"\.file\([^()]*\)\.(read|open)")
    assert [name for name, path in house.modules().items() if files.search(path.read_text())] == []
    assert files.search('run.result("model").file("model.json").read_text()')


def test_mutant_a_direct_read_is_seen() -> None:
    for call in ("path.read_bytes()", "os.scandir(path)", "open(path)", "places.root.is_dir()", "(a / b).exists()"):
        assert direct_reads("m", f"def f():\n    return {call}") == ["m.f"]
    assert direct_reads("m", "def f():\n    return reading.is_file(path)") == []
