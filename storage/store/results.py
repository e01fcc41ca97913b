"""A committed stage result and the manifest that lists its files."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from storage.errors import Damaged, Incomplete, StoreError
from storage.store import reading
from storage.store.places import HAPPENED, MANIFEST, Places
from storage.store.records import SINCE_FORMAT_1, canonical, seal, sha256, unseal


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
        path = self.file(name)
        data = _read(path, str(path))
        if sha256(data) != self.manifest["files"][name]["sha256"]:
            raise Damaged(f"{path} is damaged; run `actlas verify --repair`")
        return data

    def record(self, name: str) -> dict[str, Any]:
        """Read a JSON file. Raises Damaged if a byte differs from what was committed."""
        return dict(json.loads(self.data(name)))

    def happened(self) -> dict[str, Any]:
        """Read the record of how the result was made: times, host, effective batch. Raises Damaged."""
        name = f"stages/{self.stage}/{self.key}/{HAPPENED}"
        return dict(unseal(_read(self.path / HAPPENED, name), name, "happened")["happened"])

    def _check_size(self, member: str, expected: int) -> None:
        status = reading.status(self.path / member)
        if status is None:
            raise Damaged(f"{self.path / member} is missing; run `actlas verify --repair`")
        if status.st_size != expected:
            size = status.st_size
            raise Damaged(f"{self.path / member} has {size} bytes, not {expected}; run `actlas verify --repair`")


def read_result(places: Places, stage: str, key: str, manifest: str | None = None) -> Result:
    """Open a result. Raises Incomplete if it is missing, and Damaged if its manifest isn't intact.

    With `manifest` (a version's reference), the manifest's hash must equal it.
    """
    path = places.result(stage, key)
    if not reading.is_folder(path):
        raise Incomplete(f"stages/{stage}/{key} isn't in {places.root}; run the same command again to compute it")
    return read_manifest(path, stage, key, manifest)


def read_manifest(folder: Path, stage: str, key: str, manifest: str | None = None) -> Result:
    """Open the result in a folder, which may have been moved. Raises Damaged as `read_result`."""
    name = f"stages/{stage}/{key}/{MANIFEST}"
    data = _read(folder / MANIFEST, name)
    record = unseal(data, name, "stage", "key", "counts", "files")
    if (record["stage"], record["key"]) != (stage, key):
        raise Damaged(f"{name} belongs to {record['stage']}/{record['key']}; run `actlas verify --repair`")
    digest = sha256(data)
    if manifest is not None and digest != manifest:
        raise Damaged(f"{name} is not the one published ({digest[:12]}…, not {manifest[:12]}…); roll back or run again")
    return Result(stage=stage, key=key, path=folder, manifest=record, digest=digest)


def recorded_files(folder: Path, stage: str, key: str) -> dict[str, dict[str, Any]] | None:
    """Return the files a manifest lists: from its copy if it is damaged, else from what can be read of it, or None."""
    try:
        copy = None if _is_intact(folder, stage, key) else manifest_copy(folder, stage, key)
        record = json.loads(copy or reading.data(folder / MANIFEST) or b"")
        return {name: {"bytes": file["bytes"], "sha256": file["sha256"]} for name, file in record["files"].items()}
    except (Damaged, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def manifest_copy(folder: Path, stage: str, key: str) -> bytes | None:
    """Return the copy of the manifest in `happened.json`; None if that is damaged or too old to hold one."""
    try:
        record = unseal(reading.data(folder / HAPPENED) or b"", HAPPENED)["manifest"]
        data = canonical(record) + b"\n"
        return data if (record["stage"], record["key"]) == (stage, key) and unseal(data, MANIFEST) else None
    except (Damaged, KeyError, TypeError):
        return None


def _is_intact(folder: Path, stage: str, key: str) -> bool:
    try:
        return bool(read_manifest(folder, stage, key))
    except Damaged:
        return False


def foreign_files(folder: Path, stage: str, key: str) -> list[str]:
    """Return what lies in a result and is not of it: names with `/`, sorted. Nothing if its files can't be known."""
    recorded = recorded_files(folder, stage, key)
    if recorded is None:
        return []
    ours = {*recorded, MANIFEST, HAPPENED}
    folders = {parent.as_posix() for name in recorded for parent in PurePosixPath(name).parents}
    return sorted(
        name for name, entry in survey(folder) if name not in (folders if entry.is_dir(follow_symlinks=False) else ours)
    )


def survey(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Walk a folder as (name with `/`, entry), sorted by name, each folder after its contents."""
    yield from _survey(folder, "")


def render_manifest(stage: str, key: str, counts: Mapping[str, int], files: Mapping[str, Path]) -> bytes:
    """Hash files and render the manifest of a result; `happened.json` is not part of it."""
    for name, count in counts.items():
        if type(count) is not int or count < 0:
            raise TypeError(f"count {name!r} of {stage} is {count!r}; counts are whole numbers from 0")
    listed = {name: describe(path) for name, path in files.items() if name != HAPPENED}
    return seal({"actlas": SINCE_FORMAT_1, "stage": stage, "key": key, "counts": dict(counts), "files": listed})


def describe(path: Path) -> dict[str, int | str]:
    """Return the size and SHA-256 of a file. Raises Damaged if it is missing."""
    digest = reading.digest(path)
    if digest is None:
        raise Damaged(f"{path} is missing; run `actlas verify --repair`")
    return digest


def render_happened(happened: Mapping[str, object], manifest: bytes, inode: int = 0) -> bytes:
    """Render `happened.json`, which holds a copy of the manifest; it is sealed, since no manifest covers it.

    The inode of the result's folder tells later whether it was committed here or copied from elsewhere (0: unknown).
    """
    record = {"actlas": SINCE_FORMAT_1, "happened": dict(happened), "manifest": json.loads(manifest), "inode": inode}
    return seal(record)


def is_copied(folder: Path) -> bool:
    """Tell whether a result was copied or restored to where it is, as its recorded inode shows. Raises Damaged."""
    inode = unseal(_read(folder / HAPPENED, HAPPENED), HAPPENED, "happened").get("inode", 0)
    status = reading.status(folder)
    return bool(inode) and status is not None and status.st_ino != inode


def draft_contents(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Return a draft's files by name, and its folders, itself last. Raises StoreError for links and devices."""
    files: dict[str, Path] = {}
    folders: list[Path] = []
    if not reading.is_folder(folder):  # a swept draft must never be committed
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    for name, entry in survey(folder):
        if entry.is_dir(follow_symlinks=False):
            folders.append(folder / name)
        elif entry.is_file(follow_symlinks=False):
            files[name] = folder / name
        else:
            raise StoreError(f"draft {folder.name} has {name!r}, not a regular file; a result holds only those")
    return files, [*folders, folder]


def _survey(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    for entry in reading.entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _survey(folder / entry.name, f"{prefix}{entry.name}/")
        yield f"{prefix}{entry.name}", entry


def _read(path: Path, name: str) -> bytes:
    data = reading.data(path)
    if data is None:
        raise Damaged(f"{name} is missing; run `actlas verify --repair`")
    return data
