"""The interface of an image source: list its images, and read them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from storage import errors
from storage.images.formats import heif_version
from storage.images.left_out import HEIF_SUFFIXES, reason_of

SUFFIXES = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "gif", "webp", "avif", "bmp", "dib", "tif", "tiff"}
    | {"jp2", "j2k", "ppm", "pgm", "pbm", "pnm"},
)
"""Suffixes of files listed as images, beside HEIF's. The content determines the format when a file is decoded."""

MAX_BYTES = 256 << 20
"""Size of the largest encoded image that is read; larger ones are rejected as `too-large`."""

UNKNOWN = -1
"""A byte count that is unknown until the image is read (Parquet)."""

Read = bytes | errors.Unreadable | errors.Rejected
"""The result of reading one image; errors are returned, not raised, so that one bad image affects no other."""


@dataclass(frozen=True, slots=True)
class State:
    """A container as it was scanned: its size, its stamp, and the entries not listed and the labels left out, by reason."""

    bytes: int
    stamp: int
    refused: Mapping[str, int] = field(default_factory=dict)
    unlabelled: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Scan:
    """The current contents of a source: one entry per image in parallel lists, in stored order.

    `container` indexes `containers`; −1 in a folder. `states` are those of the containers; the `unchanged` were not scanned
    again. `refused` counts the entries not listed and `unlabelled` the labels left out, by reason. `closed` are the folders
    that could not be listed.
    """

    containers: list[str] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    unchanged: set[str] = field(default_factory=set)
    key: list[str] = field(default_factory=list)
    container: list[int] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    mtime_ns: list[int] = field(default_factory=list)
    label: list[str | None] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    unlabelled: Counter[str] = field(default_factory=Counter)
    closed: list[str] = field(default_factory=list)

    def add(self, key: str, *, container: int, offset: int, length: int, mtime_ns: int, label: str | None) -> None:
        self.key.append(key)
        self.container.append(container)
        self.offset.append(offset)
        self.length.append(length)
        self.mtime_ns.append(mtime_ns)
        # JSON can encode a lone surrogate, which no table can hold.
        self.label.append(label and label.encode("utf-8", "replace").decode())


class Source(Protocol):
    """A source of images. Small and picklable: it holds names, never open files."""

    @property
    def kind(self) -> str:
        """`folder`, `tars` or `parquet`."""

    @property
    def uri(self) -> str:
        """The location as a user would give it."""

    @property
    def root(self) -> Path | str:
        """The folder or address that keys or container names are relative to."""

    @property
    def containers(self) -> tuple[str, ...]:
        """The files that hold several images each, ordered by the hash of their names; empty for a folder."""

    def scan(self, known: Mapping[str, State]) -> Scan:
        """List the images, except those of containers that are as `known`. Raise `UsageError` if it is of another kind."""

    def read(self, rows: pa.Table, names: tuple[str, ...]) -> Iterator[tuple[int, Read]]:
        """Yield (row, content) in row order for rows not marked removed; `names` are the listing's containers."""

    def place(self, key: str, container: str | None) -> str:
        """Return the path of a file to open: the image's own, or its container's."""


def name_hash(name: str) -> int:
    """Hash a name to 64 bits: BLAKE2b, 8 bytes, read big-endian."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


def by_hash(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names by their hash, then by name."""
    return tuple(sorted(names, key=lambda name: (name_hash(name), name)))


def is_image_name(name: str) -> bool:
    """Tell whether a file name is listed as an image: it has a known suffix and is not hidden."""
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    if not stem or stem.startswith("."):
        return False
    suffix = suffix.lower()
    return suffix in SUFFIXES or (suffix in HEIF_SUFFIXES and heif_version() is not None)


def reason_not_listed(name: str) -> str:
    """Return the reason for not listing a file by its name; "" for an image."""
    return "" if is_image_name(name) else reason_of(name)


def leaves_root(name: str) -> bool:
    """Tell whether a stored name is absolute or escapes its root."""
    return name.startswith(("/", "\\")) or bool(re.match(r"[A-Za-z]:[\\/]", name)) or ".." in re.split(r"[/\\]", name)


def too_large(size: int) -> errors.Rejected:
    return errors.Rejected("too-large", f"{size:,} bytes encoded, more than {MAX_BYTES:,}")


def unreadable(place: str, error: OSError) -> errors.Unreadable:
    return errors.Unreadable(f"cannot read {place}: {error.strerror or error}")


def changed(place: str) -> errors.Changed:
    """Return the error for a file changed since it was listed; its results must not get the old file's key."""
    return errors.Changed(f"{place} has changed since it was listed; run again to update the listing")
