"""A committed stage result and the manifest that says what it is made of."""

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
    """An immutable stage result; `digest` is the SHA-256 of its manifest file, which versions refer to it by."""

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
        """Names of all files of the result, with `/` between folders, sorted."""
        return tuple(sorted(self.manifest["files"]))

    def file(self, name: str) -> Path:
        """Find a file, or a folder of files such as a Zarr group, by its name in the manifest.

        Raises Damaged if the manifest doesn't know it, or if one of its files is missing or of another size.
        """
        known = self.manifest["files"]
        members = [name] if name in known else [file for file in known if file.startswith(f"{name}/")]
        if not members:
            raise Damaged(f"{self.stage}/{self.key} has no file {name!r}; it has {', '.join(self.files) or 'none'}")
        for member in members:
            self._check_size(member, known[member]["bytes"])
        return self.path / name

    def data(self, name: str) -> bytes:
        """Read a small file whole. Raises Damaged if a byte of it isn't what was committed."""
        data = self.file(name).read_bytes()
        if sha256(data) != self.manifest["files"][name]["sha256"]:
            raise Damaged(f"{self.path / name} is damaged; run `actlas verify --repair`")
        return data

    def happened(self) -> dict[str, Any]:
        """Read what happened when the result was made: times, host, effective batch. Raises Damaged."""
        name = f"stages/{self.stage}/{self.key}/{HAPPENED}"
        return dict(unseal(_read(self.path / HAPPENED, name), name)["happened"])

    def _check_size(self, member: str, expected: int) -> None:
        try:
            found = (self.path / member).stat().st_size
        except OSError:
            raise Damaged(f"{self.path / member} is missing; run `actlas verify --repair`") from None
        if found != expected:
            raise Damaged(f"{self.path / member} has {found} bytes, not {expected}; run `actlas verify --repair`")


def read_result(places: Places, stage: str, key: str, manifest: str | None = None) -> Result:
    """Open a result by its name. Raises Incomplete if it isn't there, and Damaged if its manifest isn't whole.

    With `manifest` given (a version's reference), its hash must be that.
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
    """Read what a result's manifest lists, off its copy if it isn't whole, else as far as it can be read; {} if it can't."""
    try:
        copy = None if _is_whole(places, stage, key) else manifest_copy(places, stage, key)
        record = json.loads(copy or (places.result(stage, key) / MANIFEST).read_bytes())
        return {name: {"bytes": file["bytes"], "sha256": file["sha256"]} for name, file in record["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def manifest_copy(places: Places, stage: str, key: str) -> bytes | None:
    """Return the manifest as `happened.json` has it; None if that isn't whole, or was written before it had one."""
    try:
        record = unseal((places.result(stage, key) / HAPPENED).read_bytes(), HAPPENED)["manifest"]
        data = canonical(record) + b"\n"
        return data if (record["stage"], record["key"]) == (stage, key) and unseal(data, MANIFEST) else None
    except (OSError, Damaged, KeyError, TypeError):
        return None


def _is_whole(places: Places, stage: str, key: str) -> bool:
    try:
        return bool(read_result(places, stage, key))
    except (Damaged, Incomplete, OSError):
        return False


def survey(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Walk everything under a folder as (name with `/`, entry), folders after what is in them, sorted by name."""
    yield from _survey(folder, "")


def render_manifest(stage: str, key: str, counts: Mapping[str, int], files: Mapping[str, Path]) -> bytes:
    """Hash files and render the manifest of a result. `happened.json` stands outside."""
    for name, count in counts.items():
        if type(count) is not int or count < 0:
            raise TypeError(f"count {name!r} of {stage} is {count!r}; counts are whole numbers from 0")
    listed = {name: describe(path) for name, path in files.items() if name != HAPPENED}
    return seal({"actlas": FORMAT, "stage": stage, "key": key, "counts": dict(counts), "files": listed})


def describe(path: Path) -> dict[str, int | str]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}


def render_happened(happened: Mapping[str, object], manifest: bytes) -> bytes:
    """Render `happened.json`, which holds the manifest a second time; sealed, for no manifest vouches for it."""
    return seal({"actlas": FORMAT, "happened": dict(happened), "manifest": json.loads(manifest)})


def draft_contents(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """List a draft's files by name, and its folders with itself last. Raises StoreError for links and devices."""
    files: dict[str, Path] = {}
    folders: list[Path] = []
    for name, entry in survey(folder):
        if entry.is_dir(follow_symlinks=False):
            folders.append(folder / name)
        elif entry.is_file(follow_symlinks=False):
            files[name] = folder / name
        else:
            raise StoreError(f"draft {folder.name} has {name!r}, which is no plain file; a result holds files only")
    return files, [*folders, folder]


def _survey(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as found:  # raises if the folder is gone: a swept draft must never commit what is left
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _survey(folder / entry.name, f"{prefix}{entry.name}/")
        yield f"{prefix}{entry.name}", entry


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise Damaged(f"{name} is missing; run `actlas verify --repair`") from None
