"""Tars and Parquet give what the folder of the same images gives."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import corpus

from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.run import Run, open_run


def as_tars(images: Path, folder: Path) -> None:
    folder.mkdir()
    files = sorted(images.rglob("*.png"))
    for number in range(2):
        with tarfile.open(folder / f"{number:03d}.tar", "w") as tar:
            for file in files[number::2]:
                for suffix, data in (("png", file.read_bytes()), ("cls", file.parent.name.encode())):
                    member = tarfile.TarInfo(f"{file.stem}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def as_parquet(images: Path, folder: Path) -> None:
    folder.mkdir()
    files = sorted(images.rglob("*.png"))
    rows = [{"image": {"bytes": f.read_bytes(), "path": f.name}, "label": f.parent.name} for f in files]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet", row_group_size=7)


def by_image(run: Run) -> dict[str, Any]:
    """Return each unit's values and the file names of its patches, whatever the source calls the images."""
    names = {row["image_id"]: row["key"] for row in run.images().to_pylist()}
    found = {}
    for unit in range(12):
        rows = run.patches("features.5", unit, 30).to_pylist()
        found[unit] = sorted(
            (row["value"], stem(names[row["image_id"]]), row["y"], row["x"], row["label"]) for row in rows
        )
    return found


def stem(key: str) -> str:
    return next(part for part in reversed(key.replace(".png", "").split("/")) if part.isdigit() and len(part) == 4)


@pytest.mark.parametrize("convert", [as_tars, as_parquet])
def test_sources_agree(convert: Any, tmp_path: Path) -> None:
    images = corpus.write_images(tmp_path / "images", 30)
    convert(images, tmp_path / "packed")
    folder, packed = run_of(images, tmp_path / "a"), run_of(tmp_path / "packed", tmp_path / "b")
    assert by_image(packed) == by_image(folder)
    assert all(Path(path).exists() for path in packed.images()["path"].to_pylist())


@pytest.mark.parametrize("convert", [as_tars, as_parquet])
def test_mutant_one_image_in_anothers_place_is_seen(convert: Any, tmp_path: Path) -> None:
    images = corpus.write_images(tmp_path / "images", 30)
    folder = run_of(images, tmp_path / "a")
    first, second = sorted(images.rglob("*.png"))[:2]
    second.write_bytes(first.read_bytes())
    convert(images, tmp_path / "packed")
    assert by_image(run_of(tmp_path / "packed", tmp_path / "b")) != by_image(folder)


@pytest.mark.parametrize("convert", [None, as_tars, as_parquet])
def test_an_object_store_agrees_with_a_folder(convert: Any, tmp_path: Path) -> None:
    images = corpus.write_images(tmp_path / "images", 30)
    if convert:
        convert(images, tmp_path / "packed")
    bucket = f"memory://{tmp_path.name}-{getattr(convert, '__name__', 'folder')}"
    fsspec.filesystem("memory").put(f"{tmp_path / 'packed' if convert else images}/", f"{bucket}/", recursive=True)
    stored = run_of(bucket, tmp_path / "b")
    assert by_image(stored) == by_image(run_of(images, tmp_path / "a"))
    for path in stored.images()["path"].to_pylist():
        with fsspec.open(path) as file:
            assert file.read(1)


def run_of(source: Path | str, store: Path) -> Run:
    # tars of 15 images and a Parquet file of 30, in row groups of 7: all are cut into shards
    pipeline.run(corpus.config(source, store, until="patches", shard_size=6), Inline())
    return open_run(store, "small")
