"""Open the image source that a path names, read a listing's images, and locate their files."""

from __future__ import annotations

import errno
import glob
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage import addresses, errors
from storage.images import remote
from storage.images.contract import Read, Source, by_hash, is_image_name, unreadable
from storage.images.files import Disk, Files
from storage.images.folder import Folder
from storage.images.listing import about
from storage.images.parquet import Parquet, image_column
from storage.images.samples import SAMPLE_PHOTOS, sample_photos
from storage.images.tars import Tars
from storage.store.places import is_store

_MAGIC = re.compile(r"[*?\[{]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MAX_FILES = 1_000_000
_KINDS = "a folder of images, WebDataset .tar files, .parquet files with image bytes, or sample-photos"


def open_source(path: str | Path, *, cache: Path | None = None) -> Source:
    """Open the images that `path` names, without reading any.

    A folder that contains an image file at any depth is a folder of images; otherwise its .tar files are used, then its
    .parquet files. A file is opened by its suffix; a pattern with `*`, `?`, `[…]`, `{a,b}` or `{000..012}` names tar or Parquet
    files. Addresses such as `s3://bucket/folder` are read through fsspec, by the same rules. `sample-photos` are written
    under `cache` (default: the user's cache folder) on first use.
    Raise `NotFound` if nothing is there, `UsageError` if it is of no kind that we read.
    """
    text = str(path)
    addresses.check("--images", text)
    if text == SAMPLE_PHOTOS:
        return Folder(sample_photos(cache))
    if "://" in text or "::" in text:
        return _from_address(text.rstrip("/"))
    if os.path.isdir(text):
        return _from_folder(Path(text).absolute())
    if os.path.exists(text):
        return _from_files(Disk(Path(text).absolute().parent), [Path(text).name], str(Path(text).absolute()))
    if _MAGIC.search(text):
        root, names = _matches(text)
        return _from_files(Disk(root), names, str(Path(text).absolute()))
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


def _from_folder(root: Path) -> Source:
    if any(is_image_name(name) for name in _files(root)):
        return Folder(root)
    names = sorted(_files(root))
    tars = [name for name in names if name.lower().endswith(".tar")]
    if tars:
        return Tars(Disk(root), by_hash(tars), str(root))
    tables = [name for name in names if name.lower().endswith(".parquet") and _has_images(root / name)]
    if tables:
        return Parquet(Disk(root), by_hash(tables), str(root))
    suffixes = sorted({Path(name).suffix or "no suffix" for name in names})
    links = any(path.is_symlink() for path in root.iterdir())
    raise errors.UsageError(
        f"no images in {root}: {len(names)} files ({', '.join(suffixes[:8]) or 'empty'}); give {_KINDS}"
        + ("; symbolic links that leave the folder are not followed" if links else "")
    )


def _files(root: Path) -> Iterator[str]:
    """Yield the visible files under a folder as POSIX paths relative to it, without following links to folders."""
    for folder, folders, files in os.walk(root, onerror=_raise):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not is_store(Path(folder, n)))
        for name in files:
            if not name.startswith("."):
                yield Path(folder, name).relative_to(root).as_posix()


def _raise(error: OSError) -> None:
    """Let no folder be skipped because it cannot be listed: its images would count as removed."""
    raise errors.UsageError(f"cannot list {error.filename}: {error.strerror or error}") from error


def _has_images(place: Path) -> bool:
    try:
        return image_column(pq.read_schema(place)) is not None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise unreadable(str(place), error) from error
        return False


def _from_address(address: str) -> Source:
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
        return _from_files(remote.Objects(fixed), sorted(names), address)
    folder, _, name = address.rpartition("/")
    if Path(name).suffix.lower() in (".tar", ".parquet"):
        return _from_files(remote.Objects(folder), [name], address)
    return _from_remote_folder(address)


def _from_remote_folder(address: str) -> Source:
    names: list[str] = []
    for name in remote.names(address):
        if is_image_name(name):
            return remote.RemoteFolder(address)
        names.append(name)
    for suffix, kind in ((".tar", Tars), (".parquet", Parquet)):
        if containers := [name for name in names if name.lower().endswith(suffix)]:
            return kind(remote.Objects(address), by_hash(containers), address)
    raise errors.UsageError(f"no images at {address}: {len(names)} objects; give {_KINDS}")


def _from_files(files: Files, names: list[str], uri: str) -> Source:
    suffixes = {Path(name).suffix.lower() for name in names}
    if suffixes == {".tar"}:
        return Tars(files, by_hash(names), uri)
    if suffixes == {".parquet"}:
        return Parquet(files, by_hash(names), uri)
    if suffixes & {".gz", ".tgz", ".zst", ".bz2", ".xz", ".zip"}:
        raise errors.UsageError(f"{uri} is compressed, so its images can't be reached one by one; unpack it to .tar")
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
