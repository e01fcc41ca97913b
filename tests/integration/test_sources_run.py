"""Tars and Parquet give what the folder of the same images gives."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import corpus

from flows import pipeline
from flows.engines import Inline
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
    for source, store in ((images, "a"), (tmp_path / "packed", "b")):
        pipeline.run(corpus.config(source, tmp_path / store, until="patches"), Inline())
    folder, packed = open_run(tmp_path / "a", "small"), open_run(tmp_path / "b", "small")
    assert by_image(packed) == by_image(folder)
    assert all(Path(path).exists() for path in packed.images()["path"].to_pylist())
