"""Groups of numpy arrays on disk: Zarr 3, with equal bytes for equal values, verified when read.

Zarr reads a missing chunk as zeros and does not check metadata. So every chunk carries a CRC-32C and is written even
if it is all zeros, the group's attributes hold the SHA-256 of each array's metadata, and a reader first checks that no
chunk file is missing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import LocalStore, MemoryStore, StorePath

from storage.errors import Damaged
from storage.store import disk, reading
from storage.store.damage import errors_as_damage
from storage.store.records import canonical, sha256

Array = NDArray[Any]

METADATA = "zarr.json"
SHARD_CHUNKS = 64
"""Chunks per file: few files, while rows can still be read individually."""

CODECS = frozenset({"bytes", "zstd", "crc32c", "sharding_indexed"})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


def write_group(path: Path, arrays: Mapping[str, Array], chunk_rows: int = 1024) -> None:
    """Write arrays as a new group; a chunk spans `chunk_rows` rows of the first axis and all of the others.

    Numbers and booleans only: strings go into Parquet. Equal arrays give equal bytes, whatever their memory order.
    """
    for name, array in arrays.items():
        _check_writable(path, name, array)
    buffers: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(buffers), zarr_format=3)
    disk.make_folder(path)
    for name in sorted(arrays):
        _write_array(path, group, buffers, name, np.asarray(arrays[name]), chunk_rows)
    hashes = {name: sha256(_bytes(buffers[f"{name}/{METADATA}"])) for name in sorted(arrays)}
    group.attrs.update({"arrays": hashes, "sha256": sha256(canonical(hashes))})
    _flush(path, buffers, METADATA)


def read_group(path: Path) -> dict[str, Array]:
    """Read all arrays of a group. Raises Damaged, naming the file, if a single byte has changed."""
    return {name: read_array(path, name) for name in _read_index(path)}


def read_array(path: Path, name: str, rows: slice | Array | None = None) -> Array:
    """Read one array, or only `rows` of it (a slice, or indices in any order), in that order.

    Raises Damaged for missing or changed bytes, LookupError for an unknown array, IndexError for a row out of range.
    """
    listed = _read_index(path)
    if name not in listed:
        raise LookupError(f"{path} has no array {name!r}; it has {', '.join(listed) or 'none'}")
    metadata = _check_complete(path, name, listed[name])
    if rows is not None and not isinstance(rows, slice):
        rows = _checked_rows(path, name, rows, tuple(metadata["shape"]))
    try:
        with errors_as_damage(path / name):
            # By the metadata just checked: Zarr would read them again, at a third of the cost of a small array.
            array = zarr.Array(zarr.AsyncArray.from_dict(StorePath(_Chunks(path / name, read_only=True)), metadata))
            return np.asarray(array[...] if rows is None else array.oindex[rows])
    except Damaged:
        for file, part in _files(path / name, metadata):  # Zarr does not say which: each by itself
            with errors_as_damage(file):
                array[part]
        raise


class _Chunks(LocalStore):
    """A stored array whose files are read by the store's own functions, so that an error is none of Zarr's zeros."""

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        return await asyncio.to_thread(self._read, key, prototype or default_buffer_prototype(), byte_range)

    def _read(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None) -> Buffer | None:
        path = Path(self.root, key)
        try:
            with reading.opened(path) as file:
                return prototype.buffer.from_bytes(_part(file, byte_range))
        except FileNotFoundError:
            if key.startswith("c"):
                raise Damaged(f"{path} is missing; run `actlas verify --repair`") from None
            return None


def _part(file: BinaryIO, part: ByteRequest | None) -> bytes:
    """Read the bytes of a file that Zarr asks for."""
    if isinstance(part, RangeByteRequest):
        file.seek(part.start)
        return file.read(part.end - part.start)
    if isinstance(part, OffsetByteRequest):
        file.seek(part.offset)
    if isinstance(part, SuffixByteRequest):
        file.seek(max(0, file.seek(0, os.SEEK_END) - part.suffix))
    return file.read()


def _write_array(
    path: Path, group: zarr.Group, buffers: dict[str, Buffer], name: str, data: Array, chunk_rows: int
) -> None:
    """Write an array one chunk file at a time, so that only one is in memory in compressed form."""
    chunk = tuple(max(1, size) for size in data.shape)
    chunk = (min(chunk[0], chunk_rows), *chunk[1:]) if chunk else chunk
    chunks = min(SHARD_CHUNKS, math.ceil(data.shape[0] / chunk[0])) if chunk else 1
    shard = (chunk[0] * chunks, *chunk[1:]) if chunks > 1 else None
    array = group.create_array(
        name,
        shape=data.shape,
        dtype=data.dtype.newbyteorder("="),
        chunks=chunk,
        shards=shard,
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
        fill_value=0,
        config={"write_empty_chunks": True},
    )
    disk.make_folder(path / name)
    if data.ndim == 0:
        array[...] = data
        _flush(path, buffers, f"{name}/c")
        return
    step = (shard or chunk)[0]
    for start in range(0, data.shape[0], step):
        array[start : start + step] = data[start : start + step]
        _flush(path, buffers, f"{name}/c/")


def _flush(path: Path, buffers: dict[str, Buffer], prefix: str) -> None:
    """Move Zarr's buffers to disk: chunk files under `prefix`, or with METADATA all metadata files."""
    keys = [key for key in buffers if (key.endswith(METADATA) if prefix == METADATA else key.startswith(prefix))]
    for key in sorted(keys):
        target = path / key
        for folder in reversed(list(itertools.takewhile(lambda parent: not parent.is_dir(), target.parents))):
            disk.make_folder(folder)
        disk.write_file(target, _bytes(buffers.pop(key)))


def _bytes(buffer: Buffer) -> bytes:
    return bytes(buffer.to_bytes())


def _check_writable(path: Path, name: str, array: Array) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"array name {name!r} in {path.name} is invalid: use lower-case letters, digits and _, a letter first"
        )
    if np.asarray(array).dtype.kind not in "biuf":
        raise TypeError(f"array {name!r} in {path.name} has dtype {np.asarray(array).dtype}; numbers and booleans only")


def _read_index(path: Path) -> dict[str, str]:
    """Read the group's array names with the hashes of their metadata. Raises Damaged."""
    with errors_as_damage(path / METADATA):
        attributes = json.loads(_whole(path / METADATA))["attributes"]
        hashes = dict(attributes["arrays"])
        if sha256(canonical(hashes)) != attributes["sha256"] or not all(map(_NAME.fullmatch, hashes)):
            raise ValueError("its list of arrays doesn't match its hash")
        return hashes


def _check_complete(path: Path, name: str, expected: str) -> dict[str, Any]:
    """Check an array's metadata hash, codecs and chunk files; return the metadata."""
    with errors_as_damage(path / name / METADATA):
        data = _whole(path / name / METADATA)
        if sha256(data) != expected:
            raise ValueError("its bytes have changed")
        record: dict[str, Any] = json.loads(data)
        foreign = set(_codecs(record["codecs"])) - CODECS
        if record["zarr_format"] != 3 or foreign:
            raise ValueError(f"format {record['zarr_format']} with codecs {sorted(foreign)} is not supported")
        files = list(_files(path / name, record))
    for file, _ in files:
        if not reading.is_file(file):
            raise Damaged(f"{file} is missing; run `actlas verify --repair`")
    return record


def _files(path: Path, metadata: dict[str, Any]) -> Iterator[tuple[Path, tuple[slice, ...]]]:
    """Yield the chunk files of an array, each with the part of the array that it holds."""
    shape, chunk = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
    counts = [range(math.ceil(size / part)) for size, part in zip(shape, chunk, strict=True)]
    for place in itertools.product(*counts):
        part = tuple(slice(at * size, (at + 1) * size) for at, size in zip(place, chunk, strict=True))
        yield path / "/".join(["c", *map(str, place)]), part


def _whole(path: Path) -> bytes:
    data = reading.data(path)
    if data is None:
        raise Damaged(f"{path} is missing; run `actlas verify --repair`")
    return data


def _codecs(listed: list[dict[str, Any]]) -> Iterator[str]:
    for codec in listed:
        yield codec["name"]
        inner = codec.get("configuration", {})
        yield from _codecs([*inner.get("codecs", []), *inner.get("index_codecs", [])])


def _checked_rows(path: Path, name: str, rows: Array, shape: tuple[int, ...]) -> Array:
    rows = np.asarray(rows)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise IndexError(
            f"rows of {path}/{name} were requested by {rows.dtype} {rows.shape}; one axis of integers is needed"
        )
    if len(rows) and not (rows.min() >= 0 and rows.max() < shape[0]):
        raise IndexError(f"rows {rows.min()} to {rows.max()} of {path}/{name} were requested; it has {shape[0]}")
    return rows
