"""Systems and file systems without `flock` or hard links are refused in one line, at the start of a run."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from support import corpus, stores

from flows.cli import invoke
from storage.errors import Unsupported
from storage.store import locks
from storage.store.store import Store

ROOT = Path(__file__).parents[3]
Lacking = Callable[[pytest.MonkeyPatch], AbstractContextManager[str]]
"""Takes a feature away from the system for the length of a block, and gives what the refusal says."""


@contextmanager
def without_flock(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """A file system such as an NFS mount without a lock daemon."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with patch.context() as inner:
        inner.setattr(fcntl, "flock", refuse)
        yield "no flock (No locks available)"


@contextmanager
def without_links(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """A file system such as FAT."""

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(source), None, str(target))

    with patch.context() as inner:
        inner.setattr(os, "link", refuse)
        yield "no hard links (Operation not permitted)"


@contextmanager
def without_fcntl(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """A system such as Windows."""
    with patch.context() as inner:
        inner.setattr(locks, "HAS_FLOCK", False)
        inner.setattr(sys, "platform", "win32")
        yield "this system (win32) has no flock"


LACKING = (without_flock, without_links, without_fcntl)


@pytest.mark.parametrize("lacking", LACKING)
def test_a_run_is_refused_in_one_line_before_it_computes(
    lacking: Lacking,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corpus.write_images(tmp_path / "images", 4)
    spec = ["--model", "support.corpus:net", "--input-size", "32", "--layers", "features.2"]
    with lacking(monkeypatch) as reason:
        store = tmp_path / "store"
        code = invoke(["run", "--images", str(tmp_path / "images"), "--store", str(store), "--engine", "inline", *spec])
    said = capsys.readouterr().err.splitlines()
    assert code == 1
    assert said[-1].startswith(f"actlas: {store}")
    assert reason in said[-1]
    assert not any("Traceback" in line for line in said)
    assert not (store / "stages").exists()


@pytest.mark.parametrize("lacking", LACKING)
def test_a_refused_lock_leaves_nothing_behind(
    lacking: Lacking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    before = set(locks._held)  # other tests of this process may hold some
    with lacking(monkeypatch), pytest.raises(Unsupported), store.lock("run"):
        pass
    assert locks._held == before
    with store.lock("run", wait=False):
        assert not list((tmp_path / "store" / "tmp").iterdir())


@pytest.mark.parametrize("lacking", [without_links])
def test_links_that_go_later_are_missed_when_publishing(
    lacking: Lacking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    first = stores.contents([stores.commit(store, "a", 1)], number=1)
    with lacking(monkeypatch) as reason, pytest.raises(Unsupported, match=reason.split(" (")[0]):
        store.publish("run", first)
    assert store.publish("run", first) == 1


def test_other_errors_of_a_lock_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", fail)
    before = set(locks._held)  # other tests of this process may hold some
    with pytest.raises(OSError, match="Input/output") as caught, Store(tmp_path / "store").lock("run"):
        pass
    assert caught.value.errno == errno.EIO
    assert locks._held == before


def test_a_store_can_be_read_without_fcntl(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.publish("run", stores.contents([stores.commit(store, "a", 1)], number=1))
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from pathlib import Path\n"
        "from storage.errors import Unsupported\n"
        "from storage.store.store import Store\n"
        f"store = Store(Path({str(tmp_path / 'store')!r}))\n"
        "print(store.version('run').number)\n"
        "try:\n"
        "    with store.lock('run'): print('locked')\n"
        "except Unsupported: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["1", "refused"]


def test_mutant_links_are_not_tried_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.store.publishing.check_links", lambda places: None)
    store = Store(tmp_path / "store")
    with store.writing():
        pass  # the store is there; it was moved to such a file system later
    with without_links(monkeypatch), store.lock("run"):
        pass  # without the check, a run on such a file system would begin
