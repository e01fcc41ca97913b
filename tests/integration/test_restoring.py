"""Backups: a store copied while it is written, restored in any order, with gc at once: nothing is removed, and it opens."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from support import stores
from support.trees import tree

from storage.errors import ActlasError, StoreError
from storage.store import gc as gc_module
from storage.store.store import Store

SCRIPT = Path(__file__).parents[1] / "support" / "racing.py"
ROUNDS = 20


def copy_while_written(store: Path, backup: Path, seed: int) -> None:
    """Copy a store file by file, in the order of a random walk, while another process publishes."""
    rng = random.Random(seed)
    command = [sys.executable, str(SCRIPT), str(store), "0", str(ROUNDS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as writer:
        assert writer.stdin is not None
        writer.stdin.write(b"x")
        writer.stdin.flush()
        runs = store / "runs" / "run"
        while not runs.is_dir() or len(list(runs.iterdir())) < 2 * (ROUNDS // 2) + rng.randrange(ROUNDS):
            assert writer.poll() is None or writer.returncode == 0
        copy(store, backup, rng)
    assert writer.returncode == 0


def copy(source: Path, target: Path, rng: random.Random) -> None:
    target.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):  # work in progress comes and goes
        for path in sorted(source.iterdir(), key=lambda path: rng.random()):
            if path.is_dir():
                copy(path, target / path.name, rng)
            else:
                with suppress(FileNotFoundError):
                    shutil.copy2(path, target / path.name)


def restore(backup: Path, target: Path, seed: int) -> list[str]:
    """Restore the files of a backup in random order; collect garbage at random moments, and return what that removes."""
    rng, removed = random.Random(seed), list[str]()
    files = [path for path in sorted(backup.rglob("*")) if path.is_file()]
    rng.shuffle(files)
    pauses = set(rng.sample(range(len(files)), min(len(files), 25)))
    put = (shutil.copy2, shutil.copyfile)[seed % 2]
    for number, path in enumerate(files):
        place = target / path.relative_to(backup)
        place.parent.mkdir(parents=True, exist_ok=True)
        put(path, place)
        if number in pauses:
            with suppress(ActlasError):
                removed += gc_module.gc(Store(target), older_than=rng.choice((0.0, gc_module.DAY)))
    with suppress(ActlasError):
        removed += gc_module.gc(Store(target), older_than=0)
    return [path for path in removed if not path.startswith("tmp/")]


def versions_that_open(store: Store) -> list[int]:
    return [number for number in store.versions("run") if opens(store, number)]


def opens(store: Store, number: int) -> bool:
    try:
        return all(store.get(e.stage, e.key, e.manifest) for e in store.version("run", number).stages)
    except StoreError:
        return False


def drill(folder: Path, times: int) -> list[str]:
    """Back up and restore several times; say what went wrong."""
    wrong = []
    for seed in range(times):
        store, backup, target = (folder / f"{kind}{seed}" for kind in ("store", "backup", "restored"))
        copy_while_written(store, backup, seed)
        removed = restore(backup, target, seed)
        wrong += [f"{seed}: removed {removed}"] if removed else []
        wrong += [f"{seed}: files"] if not tree(target).items() >= tree(backup).items() else []
        wrong += [f"{seed}: no version opens"] if not versions_that_open(Store(target)) else []
        wrong += [f"{seed}: {each}" for each in stores.wrong(Store(target))]
    return wrong


def test_a_backup_is_restored_under_gc(tmp_path: Path) -> None:
    assert drill(tmp_path, 2) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_backups_are_restored_under_gc(tmp_path: Path) -> None:
    assert drill(tmp_path, 20) == []


def test_mutant_gc_that_trusts_what_it_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its evidence, gc takes results for garbage whose version is yet to be restored."""
    store, backup = tmp_path / "store", tmp_path / "backup"
    copy_while_written(store, backup, 0)
    for name in ("_check_versions", "is_copied"):
        monkeypatch.setattr(gc_module, name, lambda *_: None)
    assert any(restore(backup, tmp_path / str(seed), seed) for seed in range(6))
