"""What every source of images can do: name its images, and read them again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from storage import errors

SUFFIXES = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "gif", "webp", "avif", "bmp", "dib", "tif", "tiff"}
    | {"jp2", "j2k", "ppm", "pgm", "pbm", "pnm"},
)
"""File names that are listed as images. What a file is, its content decides when it is decoded."""

BYTES_MOST = 256 << 20
"""The largest encoded image that is read; a larger one is rejected as `too-large`."""

UNKNOWN = -1
"""A byte count that only reading would tell (Parquet)."""

Read = bytes | errors.Unreadable | errors.Rejected
"""What reading one image gives; errors are handed over, not raised, so that one image costs one image."""


@dataclass(slots=True, kw_only=True)
class Scan:
    """What a source holds now: one entry per image in parallel lists, in stored order.

    `container` numbers `containers`; −1 in a folder. `refused` counts what was met and not listed, by reason.
    """

    containers: list[str] = field(default_factory=list)
    key: list[str] = field(default_factory=list)
    container: list[int] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    mtime_ns: list[int] = field(default_factory=list)
    label: list[str | None] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, key: str, *, container: int, offset: int, length: int, mtime_ns: int, label: str | None) -> None:
        self.key.append(key)
        self.container.append(container)
        self.offset.append(offset)
        self.length.append(length)
        self.mtime_ns.append(mtime_ns)
        # JSON can spell half a character, which no table holds.
        self.label.append(label and label.encode("utf-8", "replace").decode())


class Source(Protocol):
    """A place that images come from. Small and picklable: it holds names, never open files."""

    @property
    def kind(self) -> str:
        """`folder`, `tars` or `parquet`."""

    @property
    def uri(self) -> str:
        """The place as a person would name it again."""

    @property
    def root(self) -> Path | str:
        """The folder, or its address, that keys or the containers' names are relative to."""

    @property
    def containers(self) -> tuple[str, ...]:
        """The files that hold several images each, ordered by the hash of their names; empty for a folder."""

    def scan(self) -> Scan:
        """List what is there now. Raise `UsageError` where it is not what its kind says."""

    def read(self, rows: pa.Table, names: tuple[str, ...]) -> Iterator[tuple[int, Read]]:
        """Yield (row, content) in row order for rows that are not removed; `names` are the listing's containers."""

    def place(self, key: str, container: str | None) -> str:
        """Give the file that a person can open: the image's own, or its container's."""


def name_hash(name: str) -> int:
    """Hash a name to 64 bits: BLAKE2b, 8 bytes, read big-endian."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


def by_hash(names: Iterable[str]) -> tuple[str, ...]:
    """Order names by their hash, then by themselves."""
    return tuple(sorted(names, key=lambda name: (name_hash(name), name)))


def is_image_name(name: str) -> bool:
    """Tell whether a file of this name is listed as an image: a known suffix, and not hidden."""
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    return bool(stem) and not stem.startswith(".") and suffix.lower() in SUFFIXES


def leaves_root(name: str) -> bool:
    """Tell whether a stored name is absolute or climbs out of its root."""
    return name.startswith(("/", "\\")) or bool(re.match(r"[A-Za-z]:[\\/]", name)) or ".." in re.split(r"[/\\]", name)


def too_large(size: int) -> errors.Rejected:
    return errors.Rejected("too-large", f"{size:,} bytes encoded, more than {BYTES_MOST:,}")


def unreadable(place: str, error: OSError) -> errors.Unreadable:
    return errors.Unreadable(f"cannot read {place}: {error.strerror or error}")


def changed(place: str) -> errors.Changed:
    """Say that a file is not the one that was listed, so that no result is filed under the old one's key."""
    return errors.Changed(f"{place} has changed since it was listed; run again to list it anew")
