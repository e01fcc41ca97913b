"""Tiny stores: results whose bytes follow from their name, so that any reader can tell right from wrong."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from storage.artefacts import arrays, tables
from storage.store.results import Result
from storage.store.store import Contents, Entry, Store, stage_key
from storage.store.verify import committed

NUMBERS = range(12)
"""The results of a small store."""


def key(stage: str, number: int) -> str:
    return stage_key(stage, 1, {}, {"number": number})


def content(stage: str, number: int) -> dict[str, bytes]:
    """The files that result `number` of a stage has."""
    text = f"{stage} {number} ".encode()
    return {"data.bin": text * (3 + number), "part/0": text[::-1] * 5, "part/deep/1": b""}


def commit(store: Store, stage: str, number: int) -> Result:
    """Compute a result, or find it."""
    found = store.find(stage, key(stage, number))
    if found is not None:
        return found
    with store.draft(stage, key(stage, number)) as draft:
        write(draft.path, stage, number)
        draft.note(number=number)
        return draft.commit({"number": number})


def write(folder: Path, stage: str, number: int) -> None:
    from storage.store import disk

    for name, data in content(stage, number).items():
        for parent in reversed((folder / name).relative_to(folder).parents[:-1]):
            if not (folder / parent).is_dir():
                disk.make_folder(folder / parent)
        disk.write_file(folder / name, data)


def entry(result: Result) -> Entry:
    return Entry(stage=result.stage, key=result.key, manifest=result.digest, shard=result.counts["number"])


def contents(results: list[Result], **about: int) -> Contents:
    return Contents(about, [entry(result) for result in results])


def wrong(store: Store) -> list[str]:
    """Name every result that looks committed and hasn't the bytes it should have. An empty list is what one hopes for."""
    found = []
    for stage, name in committed(store.places):
        result = store.find(stage, name)
        if result is None:
            found.append(f"{stage}/{name} is there without a manifest")
            continue
        expected = content(stage, result.counts["number"])
        if key(stage, result.counts["number"]) != name or set(result.files) != set(expected):
            found.append(f"{stage}/{name} has files {result.files}")
        found += [
            f"{stage}/{name}/{file}"
            for file, data in expected.items()
            if not (result.path / file).is_file() or (result.path / file).read_bytes() != data
        ]
    return found


def broken_versions(store: Store) -> list[str]:
    """Name every version that names a result which isn't there as it was published."""
    from storage.errors import StoreError

    found = []
    for name in store.names():
        for number in store.versions(name):
            for named in store.version(name, number).stages:
                try:
                    store.get(named.stage, named.key, named.manifest)
                except StoreError as error:
                    found.append(f"{name} {number}: {error}")
    return found


def small(store: Store) -> Store:
    """Fill a store: twelve small results, one with arrays and a table, one that no version names; three versions."""
    results = [commit(store, "a", number) for number in NUMBERS]
    results.append(formats(store))
    for number in (4, 8, len(results)):
        store.publish("run", contents(results[:number], n=number))
    commit(store, "b", 1)
    return store


def formats(store: Store) -> Result:
    """Compute a result with arrays and a table, or find it."""
    found = store.find("formats", key("formats", 0))
    if found is not None:
        return found
    rng = np.random.default_rng(0)
    with store.draft("formats", key("formats", 0)) as draft:
        arrays.write_group(draft.path / "group.zarr", {"x": rng.random((50, 3)), "zeros": np.zeros(40)}, chunk_rows=16)
        table = pa.table({"unit": np.arange(300), "name": [f"n{i}" for i in range(300)]})
        tables.write_table(draft.path / "table.parquet", table, row_group_size=50)
        return draft.commit({"number": 0})


def published(root: Path, *stages: str, **about: Any) -> Store:
    """Publish a version of a run named `photos` that has results of these stages."""
    store = Store(root)
    facts = {
        "images": "/photos",
        "model": "m",
        "listed": 100,
        "rejected": {},
        "config": {"model": "m", "layers": ["l"]},
    }
    results = [entry(commit(store, stage, 0)) for stage in stages]
    store.publish("photos", Contents(facts | about, results))
    return store


def flip(path: Path, rng: random.Random) -> None:
    """Flip a bit of a file."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data) * 8)
    data[place // 8] ^= 1 << place % 8
    path.write_bytes(bytes(data))
