"""An image is its content: which file is which image, through random histories of a folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from support import histories
from support.datasets import write_parquet, write_tar

from storage.images import files, folder, sources
from storage.images.files import Disk
from storage.images.identity import Hashes, Rows
from storage.images.listing import about, listing
from storage.images.shards import living, shards

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


def replay(place: Path, seed: int, make: Make = listing, steps: int = 6) -> list[str]:
    """Live through a random history; tell where the images used are others than the model's."""
    changing = histories.Folder(place / "images", seed, histories.small_pictures())
    model, reader, wrong = histories.Identities(), Reader(place / "images", 7), []
    for step in range(steps):
        used = reader.list(make)
        if used["key"].to_pylist() != model.listed(changing.state(), 7):
            wrong.append(f"step {step}")
        hashes = reader.table["key_hash"].to_pylist() if reader.table is not None else []
        wrong += ["hashes"] if len(set(hashes)) < len(hashes) else []
        changing.change()
    return wrong


@pytest.mark.parametrize("seed", range(30))
def test_images_stay_through_any_history(tmp_path: Path, seed: int) -> None:
    assert replay(tmp_path, seed) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1500))
def test_images_stay_through_500_histories(tmp_path: Path, seed: int) -> None:
    assert replay(tmp_path, seed, steps=10) == []


def test_mutant_contents_that_are_not_known_are_seen(tmp_path: Path) -> None:
    assert replay(tmp_path, 0, lambda source, table, _: listing(source, table)) != []


def test_mutant_two_images_with_one_hash_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.images.listing._mix_taken", lambda *_: None)
    assert "hashes" in replay(tmp_path, 10)


def test_only_files_that_may_be_a_lost_image_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images are known: after `touch` only their files, after renames those of their size."""
    for number in range(12):
        (tmp_path / f"{number}.jpg").write_bytes(b"%02d" % number * (1 + number % 3))
    reader = Reader(tmp_path, limit=3)
    known = {key: (tmp_path / key).stat().st_size for key in reader.list()["key"].to_pylist()}
    for path in tmp_path.iterdir():
        os.utime(path, ns=(5, 5))
    names: list[str] = []
    real = folder._content
    monkeypatch.setattr(folder, "_content", lambda place, *more: names.append(Path(place).name) or real(place, *more))
    reader.table = listing(sources.open_source(tmp_path), reader.table, reader.known)
    assert sorted(names) == sorted(known)
    names.clear()
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(f"moved-{path.name}"))
    listing(sources.open_source(tmp_path), reader.table, reader.known)
    assert {(tmp_path / name).stat().st_size for name in names} == set(known.values())
    assert len(names) == 4 * len(set(known.values()))


def write_packed(place: Path, form: str) -> None:
    """Write three containers, one of them with an entry that is not listed."""
    place.mkdir(exist_ok=True)
    for number in range(3):
        content = {f"{'ab'[i % 2]}/{number}{i}.jpg": b"%d %d" % (number, i) * (i + 1) for i in range(4)}
        if form == "tars":
            write_tar(place / f"{number}.tar", [*content.items(), *([("../x.jpg", b"x")] if number else [])])
        else:
            write_parquet(place / f"{number}.parquet", content)


@pytest.fixture(params=["tars", "parquet"])
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_packed(tmp_path / "packed", request.param)
    return tmp_path / "packed"


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the containers that are opened from now on."""
    names: list[str] = []
    real = Disk.opened
    monkeypatch.setattr(Disk, "opened", lambda self, name: names.append(name) or real(self, name))
    return names


def test_unchanged_containers_are_not_opened(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = listing(sources.open_source(packed))
    names = opened(monkeypatch)
    assert listing(sources.open_source(packed), first).equals(first, check_metadata=True)
    assert names == []


def test_a_changed_container_alone_is_scanned_and_the_rest_is_as_if_all_were(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(sources.open_source(packed))
    container = sorted(packed.iterdir())[1]
    container.rename(packed / f"moved{container.suffix}")
    os.utime(sorted(packed.iterdir())[0], ns=(5, 5))
    names = opened(monkeypatch)
    after = listing(sources.open_source(packed), before)
    assert sorted(set(names)) == [f"0{container.suffix}", f"moved{container.suffix}"]
    whole = listing(sources.open_source(packed), before.replace_schema_metadata(without_states(before)))
    assert after.drop_columns(["stamp"]).equals(whole.drop_columns(["stamp"]))
    assert about(after).refused == about(whole).refused


def without_states(table: pa.Table) -> dict[bytes, bytes]:
    """Return a listing's metadata as an earlier version wrote it, which did not note sizes and times of containers."""
    ((name, text),) = table.schema.metadata.items()
    return {name: json.dumps({**json.loads(text), "states": {}}).encode()}


def test_mutant_a_container_whose_time_counts_for_nothing_keeps_lost_images(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(sources.open_source(packed))
    write_packed(packed, "tars" if sorted(packed.iterdir())[0].suffix == ".tar" else "parquet")
    changed = listing(sources.open_source(packed), before)
    assert changed["mtime_ns"].to_pylist() != before["mtime_ns"].to_pylist()
    states = about(before).states
    monkeypatch.setattr(files, "_state", lambda _, name: (states[name].bytes, states[name].stamp))
    assert listing(sources.open_source(packed), before).equals(before)


def test_images_that_come_out_of_a_container_keep_their_shards(tmp_path: Path) -> None:
    """Shards are cut where the images were first; which container they are in now moves no border."""
    contents = {f"{i:02}.jpg": b"%d" % i * (i + 1) for i in range(30)}
    members = list(contents.items())
    for number in range(3):
        write_tar(tmp_path / f"{number}.tar", members[10 * number : 10 * number + 10])
    reader = Reader(tmp_path)
    reader.list()
    before = [(shard.first, shard.stop, shard.rows_key) for shard in shards(reader.table, None, 10)]
    for number in range(3):
        (tmp_path / f"{number}.tar").unlink()
        write_tar(tmp_path / f"new{number}.tar", members[number::3])
    reader.list()
    assert [(shard.first, shard.stop, shard.rows_key) for shard in shards(reader.table, None, 10)] == before
