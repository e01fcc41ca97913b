"""A disk that fills up in the middle of a run: one clear line, the last version readable, and the same bytes after."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import corpus
from support.disks import remount
from support.trees import strays, tree

from flows import pipeline
from flows.engines import Inline
from storage.errors import NoSpace
from storage.run import open_run

PAGE = 4096


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


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_run_on_a_full_disk(share: float, images: Path, whole: Path, small_disk: Path) -> None:
    remount(small_disk, "64m")
    store = small_disk / "store"
    pipeline.run(corpus.config(images, store, name="before", until="listing"), Inline())
    used = pages(small_disk)
    remount(small_disk, str(int(used + share * (pages(whole) - used))))
    config = corpus.config(images, store, until="cells")
    with pytest.raises(NoSpace, match=r"needs at least [\d,]+ bytes and [\d,]+ are free; make room"):
        pipeline.run(config, Inline())
    assert len(open_run(store, "before").images()) == 30
    assert not strays(store)
    remount(small_disk, "64m")
    pipeline.run(config, Inline())
    expected = {path: digest for path, digest in tree(whole).items() if path.startswith("stages/")}
    assert expected.items() <= tree(store).items()
