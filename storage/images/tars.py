"""Tars of images and their labels, as WebDataset packs them, or of tars, as ImageNet comes: streamed and never unpacked."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from storage import errors, file_kinds
from storage.images import labels as label_values
from storage.images.contract import (
    MAX_BYTES,
    Read,
    Scan,
    State,
    changed,
    leaves_root,
    reason_not_listed,
    too_large,
    unreadable,
)
from storage.images.files import Files, Opened, scan_files
from storage.images.tar_headers import Member, NotATar, ReadAt, members

_MAX_LABEL_BYTES = 64 << 10
_MAX_LABEL = 200
_ESCAPED = re.compile(r"\\x[89a-f][0-9a-f]")
"""How a name begins whose first byte is no UTF-8."""
_LABELS = ("cls", "json", "txt")
"""Suffixes of sibling files that may hold a label; the first one present wins."""


@dataclass(frozen=True, slots=True)
class Tars:
    """The images in the tar files `containers` of `files`, keyed by tar name / member name.

    `beside` counts, by reason, what stands beside the tars and is not read.
    """

    files: Files
    containers: tuple[str, ...]
    uri: str
    beside: tuple[tuple[str, int], ...] = ()

    @property
    def kind(self) -> str:
        return "tars"

    @property
    def root(self) -> Path | str:
        return self.files.root

    def scan(self, known: Mapping[str, State]) -> Scan:
        return scan_files(self.files, self.containers, known, self._scan, self.beside)

    def _scan(self, number: int, name: str, scan: Scan) -> tuple[int, int]:
        place = self.place("", name)
        try:
            with self.files.opened(name) as file:
                _scan_one(file, number, name, scan)
                return file.size, file.stamp
        except NotATar as error:
            instead = file_kinds.instead(
                file_kinds.kind_of(error.head), "an uncompressed tar file", "give it its own suffix"
            )
            raise errors.UsageError(
                f"{place} {instead}" if instead else f"{place} is not an uncompressed tar file: {error}"
            ) from error
        except OSError as error:
            raise errors.UsageError(f"cannot list {place}: {error.strerror or error}") from error

    def read(self, rows: pa.Table, names: tuple[str, ...]) -> Iterator[tuple[int, Read]]:
        """Yield contents in row order; consecutive rows of one tar open it once and read forward through its offsets."""
        columns = (rows[c].to_pylist() for c in ("container", "offset", "length", "mtime_ns", "removed"))
        wanted = (
            (index, container, offset, length, mtime_ns)
            for index, (container, offset, length, mtime_ns, removed) in enumerate(zip(*columns, strict=True))
            if not removed
        )
        for container, run in itertools.groupby(wanted, key=lambda row: row[1]):
            self.place("", names[container])  # rejects names that escape the root
            yield from _read_run(self.files, names[container], run)

    def place(self, key: str, container: str | None) -> str:
        if container is None or leaves_root(container):
            raise errors.UsageError(f"no tar is known for {key!r} in {self.uri}; list the tars again")
        return self.files.place(container)


def _scan_one(file: Opened, number: int, container: str, scan: Scan) -> None:
    images: dict[str, Member] = {}
    labels: dict[str, _Label] = {}
    others: set[str] = set()
    for member in _members(file.read_at):
        name = member.name.removeprefix("./")
        reason = member.refused or _refusal(name, images)
        if reason:
            # Every tar has folders, which are not counted; names that escape the root always are.
            if member.refused != "not-a-file" or leaves_root(name):
                scan.refused[reason] += 1
        elif not (reason := reason_not_listed(name)):
            images[name] = member
        elif _sample(name)[1] in _LABELS:
            _note_label(name, member, file.read_at, labels)
        else:
            scan.refused[reason] += 1
            others.add(_sample(name)[0])
    if alone := labels.keys() - others - {_sample(name)[0] for name in images}:
        scan.refused["label-of-no-image"] += len(alone)
    for name, member in images.items():
        label = labels.get(_sample(name)[0], _NO_LABEL)
        if label.left_out:
            scan.unlabelled[label.left_out] += 1
        text = label.text or _label_of_place(name)
        scan.add(
            f"{container}/{name}",
            container=number,
            offset=member.offset,
            length=member.size,
            mtime_ns=file.stamp,
            label=text,
        )


def _members(read_at: ReadAt) -> Iterator[Member]:
    """Yield the members of a tar, and in the place of a tar inside it that tar's members, named after both."""
    for member in members(read_at):
        if not member.name.lower().endswith(".tar") or member.refused:
            yield member
            continue
        try:
            for inner in members(_part(read_at, member)):
                yield replace(
                    inner, name=f"{member.name}/{inner.name.removeprefix('./')}", offset=inner.offset + member.offset
                )
        except NotATar:
            yield member


def _part(read_at: ReadAt, member: Member) -> ReadAt:
    """Return a reader of a member's bytes alone."""
    return lambda length, offset: read_at(max(0, min(length, member.size - offset)), member.offset + offset)


def _label_of_place(name: str) -> str | None:
    """Return the label of an image without a label file: a folder named by a WordNet id, or the tar inside the tar."""
    tar, _, rest = name.partition(".tar/")
    return label_values.wordnet_id_in(name) or (tar if rest else None)


def _refusal(name: str, images: dict[str, Member]) -> str:
    if leaves_root(name):
        return "name-not-utf-8" if _ESCAPED.match(name) else "outside"
    return "duplicate" if name in images else ""


def _sample(name: str) -> tuple[str, str]:
    """Split a member's name as WebDataset does: the sample ends before the first dot of the last part."""
    folder, slash, last = name.rpartition("/")
    base, _, suffix = last.partition(".")
    return folder + slash + base, suffix.lower()


@dataclass(frozen=True, slots=True)
class _Label:
    """A sample's label and the rank of the file that gives it, or the reason for leaving it out."""

    rank: int
    text: str | None
    left_out: str = ""


_NO_LABEL = _Label(len(_LABELS), None)


def _note_label(name: str, member: Member, read_at: ReadAt, labels: dict[str, _Label]) -> None:
    """Record the label from a sibling file for its sample, unless a better one is known."""
    sample, suffix = _sample(name)
    rank, known = _LABELS.index(suffix), labels.get(sample, _NO_LABEL)
    if known.text is not None and known.rank <= rank:
        return
    if member.size > _MAX_LABEL_BYTES:
        text, left_out = None, "label-too-long"
    else:
        text, left_out = _label(suffix, read_at(member.size, member.offset))
    if text is not None or (left_out and known.text is None):
        labels[sample] = _Label(rank, text, left_out)


def _label(suffix: str, data: bytes) -> tuple[str | None, str]:
    """Parse a label: the number or name in a .cls, `label`, `class` or `cls` in a .json, the first line of a .txt.

    Without one, return the reason for leaving out what is there.
    """
    text, left_out = label_values.decoded(data)
    if text and suffix == "json":
        text, left_out = _from_json(text)
    lines = (text or "").strip().splitlines()
    return (re.sub(r"\s+", " ", lines[0])[:_MAX_LABEL] if lines else None), left_out


def _from_json(text: str) -> tuple[str | None, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None, "label-not-json"
    if isinstance(value, dict):
        value = next((value[key] for key in ("label", "class", "cls") if key in value), None)
    return label_values.text(value)


def _read_run(files: Files, name: str, run: Iterator[tuple[int, int, int, int, int]]) -> Iterator[tuple[int, Read]]:
    place = files.place(name)
    try:
        with files.opened(name) as file:
            for index, _, offset, length, stamp in run:
                if stamp != file.stamp:
                    yield index, changed(place)
                elif length > MAX_BYTES:
                    yield index, too_large(length)
                else:
                    yield index, _read_member(file.read_at, place, offset, length)
    except OSError as error:
        for index, *_ in run:
            yield index, unreadable(place, error)


def _read_member(read_at: ReadAt, place: str, offset: int, length: int) -> Read:
    """Read one member; from a tar that ends early return the bytes there are, and decoding finds the image truncated."""
    parts: list[bytes] = []
    try:
        while length > 0 and (part := read_at(length, offset)):
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
    except OSError as error:
        return unreadable(place, error)
    return b"".join(parts)
