"""A listing holds the ids that all results hold: what becomes of it when it is damaged, or its source is another."""

from __future__ import annotations

import io
import logging
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support import corpus
from support.trees import tree

from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.stages import image_listing
from storage.errors import Damaged
from storage.run import open_run
from storage.store.gc import gc
from storage.store.repair import repair
from storage.store.store import Store
from storage.store.verify import verify


def run(images: Path, store: Path, **changes: object) -> dict[str, Any]:
    return pipeline.run(corpus.config(images, store, **({"until": "collect"} | changes)), Inline()).as_dict()


def ids(store: Path, name: str = "small") -> dict[str, int]:
    """Return the id of every image by its key."""
    return {row["key"]: row["image_id"] for row in open_run(store, name).images().to_pylist()}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 28)


@pytest.fixture
def grown(images: Path, tmp_path: Path) -> Path:
    """A store whose second version has 8 images more than the first, and which has only the later listing."""
    folder = tmp_path / "images"
    for path in sorted(images.rglob("*.png"))[:20]:
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, folder / path.parent.name)
    run(folder, tmp_path / "store")
    shutil.copytree(images, folder, dirs_exist_ok=True)
    assert run(folder, tmp_path / "store")["version"] == 2
    gc(Store(tmp_path / "store"), older_than=0, keep=1)
    assert verify(Store(tmp_path / "store")) == []
    return tmp_path / "store"


def mended(folder: Path, store: Path, *names: str) -> list[str]:
    """Damage files of the only listing, repair, run again; say what is not as it was."""
    opened, before, known = Store(store), tree(store), ids(store)
    (result,) = opened.results("listing")
    for name in names:
        flip(result.path / name)
    assert {damage.path for damage in verify(opened)} == {f"stages/listing/{result.key}/{name}" for name in names}
    if "images.parquet" in names:
        with pytest.raises(Damaged, match="verify --repair"):
            run(folder, store)
    wrong = ["to compute"] if repair(opened, verify(opened)) else []
    summary = run(folder, store)
    wrong += ["computed"] if summary["computed"] or summary["version"] != 2 else []
    wrong += ["ids"] if ids(store) != known else []
    return wrong + (["bytes"] if tree(store) != before or verify(opened) else [])


@pytest.mark.parametrize("name", ["images.parquet", "source.json", "manifest.json", "images.parquet.copy"])
def test_a_damaged_listing_is_mended_and_nothing_is_computed(grown: Path, name: str) -> None:
    assert mended(grown.parent / "images", grown, name) == []


def test_mutant_a_listing_without_a_copy_gives_other_ids(grown: Path) -> None:
    assert mended(grown.parent / "images", grown, "images.parquet", "images.parquet.copy") == [
        "to compute",
        "computed",
        "ids",
        "bytes",
    ]


def test_a_damaged_listing_of_another_source_is_passed_over(
    grown: Path, images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (result,) = Store(grown).results("listing")
    flip(result.path / "source.json")
    with caplog.at_level(logging.WARNING):
        assert run(images, grown, name="other")["images"] == 28
    assert "this listing is skipped" in caplog.text
    with pytest.raises(Damaged, match=r"source\.json is damaged; run `actlas verify --repair`"):
        run(grown.parent / "images", grown)


@pytest.mark.parametrize("name", ["source.json", "manifest.json"])
def test_mutant_a_listing_taken_for_another_sources_gives_other_ids(
    grown: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ids(grown)
    (result,) = Store(grown).results("listing")
    flip(result.path / name)
    monkeypatch.setattr(image_listing, "_published", lambda *_: {})
    run(grown.parent / "images", grown)
    assert ids(grown) != known


def test_a_lost_listing_is_told(grown: Path, caplog: pytest.LogCaptureFixture) -> None:
    (result,) = Store(grown).results("listing")
    shutil.rmtree(result.path)
    with caplog.at_level(logging.WARNING):
        run(grown.parent / "images", grown)
    assert f"listing {result.key}, which is lost: images that it alone listed get new ids" in caplog.text


def as_tar(folder: Path, path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.rglob("*.png")):
            member = tarfile.TarInfo(file.name)
            member.size = len(data := file.read_bytes())
            tar.addfile(member, io.BytesIO(data))


def test_a_folder_replaced_by_a_tar_begins_a_new_listing(images: Path, tmp_path: Path) -> None:
    place, store = tmp_path / "corpus.tar", tmp_path / "store"
    shutil.copytree(images, place)
    run(place, store)
    folder = ids(store)
    place.rename(tmp_path / "aside")
    as_tar(tmp_path / "aside", place)
    assert run(place, store)["version"] == 2
    run(place, tmp_path / "fresh")
    assert ids(store) == ids(tmp_path / "fresh") != folder
    place.unlink()
    (tmp_path / "aside").rename(place)
    summary = run(place, store)
    assert (summary["version"], summary["computed"]) == (3, 0)
    assert ids(store) == folder


def test_mutant_kinds_that_are_not_told_apart_are_stuck(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = image_listing._place
    monkeypatch.setattr(image_listing, "_place", lambda *given: (place(*given)[0], "tars"))  # type: ignore[index]
    with pytest.raises(Exception, match="of kind"):
        test_a_folder_replaced_by_a_tar_begins_a_new_listing(images, tmp_path)
