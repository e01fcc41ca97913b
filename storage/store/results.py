"""A committed stage result and the manifest that lists its files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import Damaged, Incomplete, StoreError
from storage.store.places import HAPPENED, MANIFEST, Places
from storage.store.records import FORMAT, canonical, seal, sha256, unseal


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An immutable stage result; versions refer to it by `digest`, the SHA-256 of its manifest file."""

    stage: str
    key: str
    path: Path
    manifest: Mapping[str, Any]
    digest: str

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.manifest["counts"])

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files of the result, sorted, with `/` between folders."""
        return tuple(sorted(self.manifest["files"]))

    def file(self, name: str) -> Path:
        """Return the path of a file that checks its own bytes, or a folder of them: a Parquet table, a Zarr group.

        Only their readers in `storage.artefacts` open it; `data` reads any other file. Raises Damaged if the manifest
        doesn't list it, or if one of its files is missing or has another size.
        """
        known = self.manifest["files"]
        members = [name] if name in known else [file for file in known if file.startswith(f"{name}/")]
        if not members:
            raise Damaged(f"{self.stage}/{self.key} has no file {name!r}; it has {', '.join(self.files) or 'none'}")
        for member in members:
            self._check_size(member, known[member]["bytes"])
        return self.path / name

    def data(self, name: str) -> bytes:
        """Read a small file. Raises Damaged if a byte differs from what was committed."""
        data = self.file(name).read_bytes()
        if sha256(data) != self.manifest["files"][name]["sha256"]:
            raise Damaged(f"{self.path / name} is damaged; run `actlas verify --repair`")
        return data

    def record(self, name: str) -> dict[str, Any]:
        """Read a JSON file. Raises Damaged if a byte differs from what was committed."""
        return dict(json.loads(self.data(name)))

    def happened(self) -> dict[str, Any]:
        """Read the record of how the result was made: times, host, effective batch. Raises Damaged."""
        name = f"stages/{self.stage}/{self.key}/{HAPPENED}"
        return dict(unseal(_read(self.path / HAPPENED, name), name)["happened"])

    def _check_size(self, member: str, expected: int) -> None:
        try:
            size = (self.path / member).stat().st_size
        except OSError:
            raise Damaged(f"{self.path / member} is missing; run `actlas verify --repair`") from None
        if size != expected:
            raise Damaged(f"{self.path / member} has {size} bytes, not {expected}; run `actlas verify --repair`")


def read_result(places: Places, stage: str, key: str, manifest: str | None = None) -> Result:
    """Open a result. Raises Incomplete if it is missing, and Damaged if its manifest isn't intact.

    With `manifest` (a version's reference), the manifest's hash must equal it.
    """
    path = places.result(stage, key)
    name = f"stages/{stage}/{key}/{MANIFEST}"
    if not path.is_dir():
        raise Incomplete(f"stages/{stage}/{key} isn't in {places.root}; run the same command again to compute it")
    data = _read(path / MANIFEST, name)
    record = unseal(data, name)
    if (record["stage"], record["key"]) != (stage, key):
        raise Damaged(f"{name} belongs to {record['stage']}/{record['key']}; run `actlas verify --repair`")
    digest = sha256(data)
    if manifest is not None and digest != manifest:
        raise Damaged(f"{name} is not the one published ({digest[:12]}…, not {manifest[:12]}…); roll back or run again")
    return Result(stage=stage, key=key, path=path, manifest=record, digest=digest)


def recorded_files(places: Places, stage: str, key: str) -> dict[str, dict[str, Any]]:
    """Return the files a manifest lists: from its copy if it is damaged, else from what can be read of it, or {}."""
    try:
        copy = None if _is_intact(places, stage, key) else manifest_copy(places, stage, key)
        record = json.loads(copy or (places.result(stage, key) / MANIFEST).read_bytes())
        return {name: {"bytes": file["bytes"], "sha256": file["sha256"]} for name, file in record["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def manifest_copy(places: Places, stage: str, key: str) -> bytes | None:
    """Return the copy of the manifest in `happened.json`; None if that is damaged or too old to hold one."""
    try:
        record = unseal((places.result(stage, key) / HAPPENED).read_bytes(), HAPPENED)["manifest"]
        data = canonical(record) + b"\n"
        return data if (record["stage"], record["key"]) == (stage, key) and unseal(data, MANIFEST) else None
    except (OSError, Damaged, KeyError, TypeError):
        return None


def _is_intact(places: Places, stage: str, key: str) -> bool:
    try:
        return bool(read_result(places, stage, key))
    except (Damaged, Incomplete, OSError):
        return False


def survey(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Walk a folder as (name with `/`, entry), sorted by name, each folder after its contents."""
    yield from _survey(folder, "")


def render_manifest(stage: str, key: str, counts: Mapping[str, int], files: Mapping[str, Path]) -> bytes:
    """Hash files and render the manifest of a result; `happened.json` is not part of it."""
    for name, count in counts.items():
        if type(count) is not int or count < 0:
            raise TypeError(f"count {name!r} of {stage} is {count!r}; counts are whole numbers from 0")
    listed = {name: describe(path) for name, path in files.items() if name != HAPPENED}
    return seal({"actlas": FORMAT, "stage": stage, "key": key, "counts": dict(counts), "files": listed})


def describe(path: Path) -> dict[str, int | str]:
    """Return the size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}


def render_happened(happened: Mapping[str, object], manifest: bytes) -> bytes:
    """Render `happened.json`, which holds a copy of the manifest; it is sealed, since no manifest covers it."""
    return seal({"actlas": FORMAT, "happened": dict(happened), "manifest": json.loads(manifest)})


def draft_contents(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Return a draft's files by name, and its folders, itself last. Raises StoreError for links and devices."""
    files: dict[str, Path] = {}
    folders: list[Path] = []
    for name, entry in survey(folder):
        if entry.is_dir(follow_symlinks=False):
            folders.append(folder / name)
        elif entry.is_file(follow_symlinks=False):
            files[name] = folder / name
        else:
            raise StoreError(f"draft {folder.name} has {name!r}, not a regular file; a result holds only those")
    return files, [*folders, folder]


def _survey(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as scanned:  # raises if the folder is gone: a swept draft must never be committed
        entries = sorted(scanned, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _survey(folder / entry.name, f"{prefix}{entry.name}/")
        yield f"{prefix}{entry.name}", entry


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise Damaged(f"{name} is missing; run `actlas verify --repair`") from None
