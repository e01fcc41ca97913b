"""A disk that fills up in the middle of a run: one clear line, the last version readable, and the same bytes after."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from support import corpus
from support.disks import remount
from support.trees import strays, tree

from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.errors import ActlasError, NoSpace
from storage.run import open_run
from storage.store import disk, drafts

PAGE = 4096
MESSAGE = r"needs at least [\d,]+ bytes and [\d,]+ are free; make room"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 30)


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the run was given room for."""
    store = tmp_path_factory.mktemp("whole")
    pipeline.run(corpus.config(images, store, until="cells"), Inline())
    return store


def pages(store: Path) -> int:
    """Return what a tree's files take on a file system of pages."""
    return sum(PAGE * -(-path.stat().st_size // PAGE) for path in store.rglob("*") if path.is_file())


def fill_and_mend(share: float, images: Path, whole: Path, small_disk: Path) -> list[str]:
    """Run on a disk with room for a share of it, then with room for all; say what is not as it should be."""
    remount(small_disk, "64m")
    store, wrong = small_disk / "store", list[str]()
    pipeline.run(corpus.config(images, store, name="before", until="listing"), Inline())
    used = pages(small_disk)
    remount(small_disk, str(int(used + share * (pages(whole) - used))))
    config = corpus.config(images, store, until="cells")
    try:
        pipeline.run(config, Inline())
        wrong.append("no message")
    except Exception as error:
        if not (isinstance(error, NoSpace) and re.search(MESSAGE, str(error))):
            wrong.append("another message")
    wrong += ["before"] if len(open_run(store, "before").images()) != 30 else []
    wrong += ["strays"] if strays(store) else []
    remount(small_disk, "64m")
    with suppress(ActlasError):
        pipeline.run(config, Inline())
    expected = {path: digest for path, digest in tree(whole).items() if path.startswith("stages/")}
    return wrong + ([] if expected.items() <= tree(store).items() else ["bytes"])


@pytest.mark.parametrize(
    "share", [0.1, *(pytest.param(share, marks=pytest.mark.sweep) for share in (0.3, 0.5, 0.7)), 0.9]
)
def test_a_run_on_a_full_disk(share: float, images: Path, whole: Path, small_disk: Path) -> None:
    assert fill_and_mend(share, images, whole, small_disk) == []


def test_mutant_an_error_of_the_system_is_no_message(
    images: Path, whole: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "_unwritten_when_full", lambda error: None)
    assert fill_and_mend(0.5, images, whole, small_disk) == ["another message"]


def test_mutant_drafts_that_are_not_cleared_are_strays(
    images: Path, whole: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "_clear", lambda folder, descriptor: None)
    assert "strays" in fill_and_mend(0.5, images, whole, small_disk)


def test_mutant_a_writer_that_keeps_silent_is_seen(
    images: Path, whole: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that takes what went onto the disk for all, as one does that does not look what `write` returned."""
    write = disk.Writer.write

    def careless(self: disk.Writer, data: bytes) -> int:
        with suppress(disk.DiskFull):
            write(self, data)
        return len(data)

    monkeypatch.setattr(disk.Writer, "write", careless)
    assert fill_and_mend(0.5, images, whole, small_disk) != []
