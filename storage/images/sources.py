"""Open the image source that a path names, read a listing's images, and locate their files."""

from __future__ import annotations

import errno
import glob
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage import addresses, errors, file_kinds
from storage.images import left_out, remote
from storage.images.contract import Read, Source, by_hash, is_image_name, reason_not_listed, unreadable
from storage.images.files import Disk, Files
from storage.images.folder import Folder, holds_store, is_inside
from storage.images.listing import about
from storage.images.parquet import USUAL_COLUMN, Parquet, image_column
from storage.images.samples import SAMPLE_PHOTOS, SHOWS, sample_photos
from storage.images.tars import Tars

_MAGIC = re.compile(r"[*?\[{]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MAX_FILES = 1_000_000
_KINDS = "a folder of images, WebDataset .tar files, .parquet files with image bytes, or sample-photos"


def open_source(path: str | Path, *, column: str | None = None, cache: Path | None = None) -> Source:
    """Open the images that `path` names, without reading any; `column` is the one of Parquet files that has them.

    A folder that contains an image file at any depth is a folder of images; otherwise its .tar files are used, then its
    .parquet files. A file is opened by its suffix; a pattern with `*`, `?`, `[…]`, `{a,b}` or `{000..012}` names tar or Parquet
    files. Addresses such as `s3://bucket/folder` are read through fsspec, by the same rules. `sample-photos` are written
    under `cache` (default: the user's cache folder) on first use.
    Raise `NotFound` if nothing is there, `UsageError` if it is of no kind that we read.
    """
    text, column = str(path), None if column == USUAL_COLUMN else column
    addresses.check("--images", text)
    source = _opened(text, column, cache)
    if column is not None and not isinstance(source, Parquet):
        raise errors.UsageError(
            f"--image-column {column} names a column of Parquet files, but {text} is of kind {source.kind}"
        )
    return source


def source_of(about: Mapping[str, Any]) -> Source:
    """Open the source that a published version, which is `about` it, was made from."""
    return open_source(about["images"], column=about["config"].get("image_column"))


def _opened(text: str, column: str | None, cache: Path | None) -> Source:
    if text == SAMPLE_PHOTOS:
        return Folder(sample_photos(cache), labels=SHOWS)
    if "://" in text or "::" in text:
        return _from_address(text.rstrip("/"), column)
    if os.path.isdir(text):
        return _from_folder(Path(text).absolute(), column)
    if os.path.exists(text):
        return _from_files(Disk(Path(text).absolute().parent), [Path(text).name], str(Path(text).absolute()), column)
    if _MAGIC.search(text):
        root, names = _matches(text)
        return _from_files(Disk(root), names, str(Path(text).absolute()), column)
    raise errors.NotFound(f"no images at {text!r}: no such file or folder; give {_KINDS}")


def read(source: Source, rows: pa.Table) -> Iterator[tuple[int, Read]]:
    """Yield (index in `rows`, encoded bytes) in row order; rows of removed images are skipped.

    Rows come from a listing. An image that can't be read gives an error value in place of its bytes: `Unreadable` for a
    transient error or a change since the listing, `Rejected` ("too-large") for a permanent one.
    """
    return source.read(rows, about(rows).containers)


def read_one(source: Source, rows: pa.Table) -> Read | None:
    """Return the encoded bytes of the first image of a listing, or its error; None where it was removed."""
    return next((data for _, data in read(source, rows)), None)


def path(source: Source, rows: pa.Table, index: int = 0) -> str:
    """Return the path of a file to open for a row of a listing: the image, or its tar or Parquet file."""
    number = rows["container"][index].as_py()
    return source.place(rows["key"][index].as_py(), about(rows).containers[number] if number >= 0 else None)


def _from_folder(root: Path, column: str | None) -> Source:
    counts: Counter[str] = Counter()
    names = []
    for name in _files(root, counts):
        if is_image_name(name) and column is None:
            return Folder(root)
        names.append(name)
    names.sort()
    tars = [name for name in names if name.lower().endswith(".tar")]
    tables = [name for name in names if name.lower().endswith(".parquet")]
    if tars and column is None:
        return Tars(Disk(root), by_hash(tars), str(root), _beside(names, tars, counts))
    states = {name: _has_images(root / name, column) for name in tables}
    broken = [name for name in tables if states[name] is None]
    if with_images := [name for name in tables if states[name]]:
        counts["not-parquet"] += len(broken)
        used = [*with_images, *broken]
        return Parquet(Disk(root), by_hash(with_images), str(root), column, _beside(names, used, counts))
    if column is not None and not tables:
        raise errors.UsageError(f"--image-column {column} names a column of Parquet files: {root} has none")
    if tables and all(reason_not_listed(name) not in left_out.FORMATS for name in names):
        return Parquet(
            Disk(root), by_hash(broken[:1] or tables[:1]), str(root), column
        )  # listing it says what it lacks
    raise errors.UsageError(_nothing_in(str(root), names, counts))


def _beside(names: Iterable[str], used: Iterable[str], counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    """Count, by reason, the names that are not used, beside those counted before."""
    unused = set(names).difference(used)
    return tuple(sorted((counts + Counter(reason for name in unused if (reason := reason_not_listed(name)))).items()))


def _nothing_in(place: str, names: Iterable[str], counts: Counter[str]) -> str:
    """Return the message on a place without images: what there is, by reason, and the suffixes of other files."""
    words = "; ".join(left_out.words(dict(_beside(names, [], counts)))) or "it is empty"
    others = {Path(name).suffix for name in names if reason_not_listed(name) == "not-an-image-name"}
    suffixes = f" ({', '.join(sorted(others)[:8])})" if others else ""
    return f"no images in {place}: {words}{suffixes}; give {_KINDS}"


def _files(root: Path, counts: Counter[str]) -> Iterator[str]:
    """Yield the visible files under a folder as POSIX paths relative to it, without following links to folders.

    All else is counted, by reason, on the way.
    """
    real = os.path.realpath(root)
    for folder, folders, files in os.walk(root, onerror=lambda error: _count_closed(error, root, counts)):
        folders[:] = sorted(name for name in folders if _is_entered(Path(folder, name), real, counts))
        for name in files:
            place = Path(folder, name)
            if name.startswith("."):
                counts["hidden"] += 1
            elif os.path.islink(place) and not os.path.exists(place):
                counts["broken-link"] += 1
            elif is_image_name(name) and not is_inside(real, os.path.realpath(place)):
                counts["link-out-of-root"] += 1
            else:
                yield place.relative_to(root).as_posix()


def _is_entered(place: Path, root: str, counts: Counter[str]) -> bool:
    """Tell whether a folder is walked, and count it if it is not; a link inside the root leads to what is walked anyway."""
    if place.name.startswith("."):
        counts["hidden-folder"] += 1
    elif os.path.islink(place):
        if not is_inside(root, os.path.realpath(place)):
            counts["link-out-of-root"] += 1
    elif holds_store(str(place)):
        counts["store"] += 1
    else:
        return True
    return False


def _count_closed(error: OSError, root: Path, counts: Counter[str]) -> None:
    """Count a folder below the root without permission. Raise `UsageError` for any other."""
    if not isinstance(error, PermissionError) or Path(error.filename) == root:
        raise errors.UsageError(f"cannot list {error.filename}: {error.strerror or error}") from error
    counts["no-permission"] += 1


def _has_images(place: Path, column: str | None) -> bool | None:
    """Tell whether a Parquet file has a column of images; None where it is no Parquet file, or not a whole one."""
    try:
        return place.is_file() and image_column(pq.read_schema(place), column) is not None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise unreadable(str(place), error) from error
        return None


def _from_address(address: str, column: str | None) -> Source:
    """Open what an address names, by the same rules."""
    remote.filesystem(address)  # rejects an unsupported address before any request
    if _MAGIC.search(address):
        fixed = _MAGIC.split(address)[0].rpartition("/")[0]
        patterns = expand_braces(address.removeprefix(fixed + "/"))
        names = {
            name for part in patterns for name in (remote.matching(fixed, part) if glob.has_magic(part) else [part])
        }
        if not names:
            raise errors.NotFound(f"no file matches {address!r}")
        return _from_files(remote.Objects(fixed), sorted(names), address, column)
    folder, _, name = address.rpartition("/")
    if Path(name).suffix.lower() in (".tar", ".parquet"):
        return _from_files(remote.Objects(folder), [name], address, column)
    return _from_remote_folder(address, column)


def _from_remote_folder(address: str, column: str | None) -> Source:
    names: list[str] = []
    for name in remote.names(address):
        if is_image_name(name) and column is None:
            return remote.RemoteFolder(address)
        names.append(name)
    objects, counts = remote.Objects(address), Counter[str]()
    tars = [name for name in names if name.lower().endswith(".tar")]
    if tars and column is None:
        return Tars(objects, by_hash(tars), address, _beside(names, tars, counts))
    if tables := [name for name in names if name.lower().endswith(".parquet")]:
        return Parquet(objects, by_hash(tables), address, column, _beside(names, tables, counts))
    raise errors.UsageError(_nothing_in(address, names, counts))


def _from_files(files: Files, names: list[str], uri: str, column: str | None) -> Source:
    suffixes = {Path(name).suffix.lower() for name in names}
    if suffixes == {".tar"}:
        return Tars(files, by_hash(names), uri)
    if suffixes == {".parquet"}:
        return Parquet(files, by_hash(names), uri, column)
    others = [name for name in names if Path(name).suffix.lower() not in (".tar", ".parquet")]
    place = files.place(others[0]) if others else uri
    kind = file_kinds.kind_of_file(place)
    if (
        others
        and reason_not_listed(others[0]) == "archive"
        and (kind is None or kind.remedy in ("", file_kinds.UNPACK))
    ):
        raise errors.UsageError(f"{place} is compressed, so its images can't be reached one by one; unpack it to .tar")
    if kind is not None and kind.remedy:
        raise errors.UsageError(f"{place} {file_kinds.described(kind)}; give {_KINDS}")
    raise errors.UsageError(f"{uri} names files of kind {', '.join(sorted(suffixes)) or 'none'}; give {_KINDS}")


def _matches(pattern: str) -> tuple[Path, list[str]]:
    """Expand a pattern to its longest folder without wildcards, and the names under it, the same on every machine."""
    parts = Path(pattern).absolute().parts
    fixed = itertools.takewhile(lambda part: not _MAGIC.search(part), parts)
    root = Path(*fixed)
    rest = "/".join(parts[len(root.parts) :])
    names: set[str] = set()
    for part in expand_braces(rest):
        matches = glob.glob(part, root_dir=root, recursive=True) if glob.has_magic(part) else [part]
        missing = [name for name in matches if not (root / name).is_file()]
        if missing or not matches:
            raise errors.NotFound(f"no file {root / (missing or [part])[0]}, which {pattern!r} names")
        names.update(matches)
    return root, sorted(names)


def expand_braces(pattern: str) -> list[str]:
    """Expand `{a,b}` and `{08..11}` (padded as written), leftmost first."""
    expanded, pending = [], [pattern]
    while pending:
        part = pending.pop()
        braces = _BRACES.search(part)
        if braces is None:
            expanded.append(part)
        else:
            before, after = part[: braces.start()], part[braces.end() :]
            pending += [before + choice + after for choice in reversed(_choices(braces[1]))]
        if len(expanded) + len(pending) > _MAX_FILES:
            raise errors.UsageError(f"{pattern!r} names more than {_MAX_FILES:,} files")
    return expanded


def _choices(inside: str) -> list[str]:
    span = _RANGE.fullmatch(inside)
    if span is None:
        return inside.split(",")
    first, last = int(span[1]), int(span[2])
    if last - first >= _MAX_FILES:
        raise errors.UsageError(f"{{{inside}}} names more than {_MAX_FILES:,} files")
    width = len(span[1]) if span[1].startswith("0") else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]
