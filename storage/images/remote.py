"""Images on object stores and web servers, read through fsspec: a folder of a bucket, tars, Parquet files.

An object's stamp is a hash of its ETag, or of another field that changes with its content.
"""

from __future__ import annotations

import errno
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa

from storage import errors, masking
from storage.images.contract import (
    MAX_BYTES,
    Read,
    Scan,
    State,
    changed,
    leaves_root,
    name_hash,
    reason_not_listed,
    too_large,
    unreadable,
)
from storage.images.files import Opened

SCHEMES = {
    **dict.fromkeys(("s3",), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("abfs", "az"), "adlfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    "memory": "",
}
"""Supported schemes of addresses, and the package that fsspec needs for each."""

SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")

_VERSION_FIELDS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
"""The stores' names of fields that change with an object's content, best first."""

_BLOCK = 8 << 20
"""Bytes per request into a tar or Parquet file: blocks are read ahead, the next one while one is in use."""

_THREADS = 32
"""Concurrent requests for single objects: each waits some 20 to 50 ms for its first byte."""


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects under an address such as `s3://bucket/folder`."""

    root: str

    def place(self, name: str) -> str:
        return f"{self.root}/{name}"

    @contextmanager
    def opened(self, name: str) -> Iterator[Opened]:
        place = self.place(name)
        with _os_errors():
            system = filesystem(place)
            info = system.info(place)
            stamp = _stamp(info)
            options = {"block_size": _BLOCK, "cache_type": "background", "cache_options": {"maxblocks": 4}}
            file = system.open(place, "rb", **options)
        with file:
            yield Opened(
                read_at=partial(_read_at, file), size=int(info["size"]), stamp=stamp, source=_RaisingOSErrors(file)
            )

    def state(self, name: str) -> tuple[int, int]:
        place = self.place(name)
        with _os_errors():
            info = filesystem(place).info(place)
            return int(info["size"]), _stamp(info)


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """The image objects under an address, keyed by their names relative to it."""

    root: str

    @property
    def kind(self) -> str:
        return "folder"

    @property
    def uri(self) -> str:
        return self.root

    @property
    def containers(self) -> tuple[str, ...]:
        return ()

    def scan(self, known: Mapping[str, State]) -> Scan:
        scan = Scan()
        try:
            with _os_errors():
                system = filesystem(self.root)
                system.invalidate_cache()
                entries = system.find(self.root, detail=True)
        except OSError as error:
            raise errors.UsageError(f"cannot list {self.root}: {error.strerror or error}") from error
        prefix = _prefix(system, self.root)
        for place, info in sorted(entries.items()):
            _add(place.removeprefix(prefix), info, scan)
        return scan

    def read(self, rows: pa.Table, names: tuple[str, ...]) -> Iterator[tuple[int, Read]]:
        """Yield contents in row order, with many concurrent requests."""
        columns = (rows[name].to_pylist() for name in ("key", "bytes", "mtime_ns", "removed"))
        wanted = enumerate(zip(*columns, strict=True))
        return _run_ahead(
            (index, partial(_content, self.place(key, None), size, stamp))
            for index, (key, size, stamp, removed) in wanted
            if not removed
        )

    def place(self, key: str, container: str | None) -> str:
        if leaves_root(key):
            raise errors.UsageError(f"the key {key!r} leaves {self.root}; list it again")
        return f"{self.root}/{key}"


def filesystem(address: str) -> Any:
    """Return fsspec's file system for an address; raise `UsageError` if it is unsupported or a package is missing."""
    import fsspec

    scheme = SCHEME.match(address)
    if "::" in address or scheme is None or scheme[1] not in SCHEMES:
        raise errors.UsageError(
            f"images can't be read from {address!r}; an address starts with {', '.join(f'{s}://' for s in SCHEMES)}"
        )
    try:
        return fsspec.filesystem(scheme[1], use_listings_cache=False)
    except ImportError:
        raise errors.UsageError(f"{address} needs another package: pip install {SCHEMES[scheme[1]]}") from None


def names(address: str) -> Iterator[str]:
    """Yield the names under an address relative to it, lazily, folder by folder, without hidden ones.

    Raise `UsageError` if it can't be listed.
    """
    if address.startswith("http"):
        raise errors.UsageError(f"{address} can't be listed, since it is a web server: name its .tar or .parquet files")
    try:
        with _os_errors():
            system = filesystem(address)
            prefix = _prefix(system, address)
            for folder, _, files in system.walk(address, on_error="raise"):
                inside = (folder.rstrip("/") + "/").removeprefix(prefix)
                yield from (inside + name for name in sorted(files) if not _hidden(inside + name))
    except FileNotFoundError:
        raise errors.NotFound(f"no images at {address!r}: nothing is there") from None
    except OSError as error:
        raise errors.UsageError(f"cannot list {address}: {error.strerror or error}") from error


def matching(root: str, pattern: str) -> list[str]:
    """Return the names under an address that match a pattern with `*`, `?` or `[…]`, sorted."""
    try:
        with _os_errors():
            system = filesystem(root)
            prefix = _prefix(system, root)
            return sorted(place.removeprefix(prefix) for place in system.glob(f"{root}/{pattern}"))
    except OSError as error:
        raise errors.UsageError(f"cannot list {root}: {error.strerror or error}") from error


def _prefix(system: Any, address: str) -> str:
    """Return the prefix of the file system's own names under an address."""
    return str(system._strip_protocol(address)).rstrip("/") + "/"


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _add(key: str, info: dict[str, Any], scan: Scan) -> None:
    if leaves_root(key):
        scan.refused["outside"] += 1
    elif reason := "hidden" if _hidden(key) else reason_not_listed(key):
        scan.refused[reason] += 1
    else:
        label = key.split("/", 1)[0] if "/" in key else None
        scan.add(key, container=-1, offset=0, length=int(info["size"]), mtime_ns=_stamp(info), label=label)


def _stamp(info: dict[str, Any]) -> int:
    """Hash an object's version field and size to 63 bits; raise `UsageError` if it has none."""
    version = next((info[name] for name in _VERSION_FIELDS if info.get(name)), None)
    if version is None or info.get("size") is None:
        raise errors.UsageError(
            f"{info.get('name')} has no ETag and size, so a changed file could be mistaken for the listed one; copy it to a disk"
        )
    version = version.timestamp() if isinstance(version, datetime) else version  # stores mix both
    return name_hash(f"{version} {info['size']}") >> 1


def _content(place: str, size: int, stamp: int) -> Read:
    """Read one listed object; return an error value if it has changed or can't be read."""
    if size > MAX_BYTES:
        return too_large(size)
    try:
        with _os_errors():
            system = filesystem(place)
            content: bytes = system.cat_file(place)
            # Checked after reading: if it is the listed one now, it was when it was read.
            now = _stamp(system.info(place))
    except OSError as error:
        return unreadable(place, error)
    return content if (now, len(content)) == (stamp, size) else changed(place)


def _run_ahead(tasks: Iterator[tuple[int, Callable[[], Read]]]) -> Iterator[tuple[int, Read]]:
    """Run tasks in order in threads, at most two per thread in advance."""
    queue: deque[tuple[int, Future[Read]]] = deque()
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch")
    try:
        for index, task in tasks:
            queue.append((index, pool.submit(task)))
            if len(queue) > 2 * _THREADS:
                first, future = queue.popleft()
                yield first, future.result()
        for first, future in queue:
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_at(file: Any, length: int, offset: int) -> bytes:
    with _os_errors():
        file.seek(offset)
        return bytes(file.read(length))


class _RaisingOSErrors:
    """A file that turns any library's errors into OSErrors."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, length: int = -1) -> bytes:
        with _os_errors():
            return bytes(self._file.read(length))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def _os_errors() -> Iterator[None]:
    """Turn errors of object stores' clients into OSErrors, which count as transient; let our own through."""
    try:
        yield
    except FileNotFoundError as error:  # its message is only the name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    except errors.ActlasError:
        raise
    except OSError as error:
        if masking.has_secret(str(error)):  # a server may have sent the client on to a signed address
            raise OSError(error.errno, masking.masked(error.strerror or str(error))) from None
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise OSError(masking.masked(message)) from (None if masking.has_secret(str(error)) else error)
