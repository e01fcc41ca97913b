"""Tiny stores: results whose bytes follow from their name, so that any reader can tell right from wrong."""

from __future__ import annotations

from pathlib import Path

from storage.store.results import Result
from storage.store.store import Contents, Entry, Store, stage_key
from storage.store.verify import committed


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
