"""An image is its content: which file is which image, through random histories of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from support import histories

from storage.images import sources
from storage.images.identity import Hashes, Rows
from storage.images.listing import listing
from storage.images.shards import living

Make = Callable[[sources.Source, pa.Table | None, Hashes], pa.Table]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Reader:
    """Reads the first images of a listing, and knows afterwards what they contained."""

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.path, self.limit, self.table = path, limit, None
        self.contents: dict[tuple[int, int], str] = {}

    def list(self, make: Make = listing) -> pa.Table:
        source = sources.open_source(self.path)
        self.table = make(source, self.table, self.known)
        used = living(self.table, self.limit)
        stamps, ids = used["stamp"].to_pylist(), used["image_id"].to_pylist()
        for index, data in sources.read(source, used):
            assert isinstance(data, bytes)
            known = self.contents.setdefault((ids[index], stamps[index]), sha256(data))
            assert known == sha256(data), "an image with other content has the stamp of the old one"
        return used

    def known(self, rows: Rows) -> list[str | None]:
        assert self.table is not None
        stamps = self.table["stamp"].to_pylist()
        return [self.contents.get((row, stamps[row])) for row in rows.tolist()]


def replay(folder: Path, seed: int, make: Make = listing, steps: int = 6) -> list[str]:
    """Live through a random history; tell where the images used are others than the model's."""
    changing = histories.Folder(folder / "images", seed, histories.small_pictures())
    model, reader, wrong = histories.Identities(), Reader(folder / "images", 7), []
    for step in range(steps):
        used = reader.list(make)
        if used["key"].to_pylist() != model.listed(changing.state(), 7):
            wrong.append(f"step {step}")
        hashes = reader.table["key_hash"].to_pylist() if reader.table is not None else []
        wrong += ["hashes"] if len(set(hashes)) < len(hashes) else []
        changing.change()
    return wrong


@pytest.mark.parametrize("seed", range(40))
def test_images_stay_through_any_history(tmp_path: Path, seed: int) -> None:
    assert replay(tmp_path, seed) == []
