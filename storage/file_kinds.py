"""Recognise by its first bytes a file that is none of what its name says, and say what would help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HEAD = 512
"""Bytes that tell what a file is."""

UNPACK, AGAIN = "unpack it first", "download or save it again"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is, and what would help; no remedy where that depends on what it was to be."""

    words: str
    remedy: str = ""


PAGE = Kind("a web page: the address of the download gave a page", "download the file itself")
TAR, PARQUET, PICTURE = Kind("a tar archive", UNPACK), Kind("a Parquet file"), Kind("a picture")
EMPTY, ZEROS, TEXT = Kind("empty", AGAIN), Kind("nothing but zeros", AGAIN), Kind("plain text")

SIGNATURES = {
    b"version https://git-lfs": Kind("a Git LFS pointer, not the file itself", "`git lfs pull` fetches it"),
    b"\x1f\x8b": Kind("compressed (gzip)", UNPACK),
    b"BZh": Kind("compressed (bzip2)", UNPACK),
    b"\xfd7zXZ": Kind("compressed (xz)", UNPACK),
    b"\x5d\0\0\x80": Kind("compressed (lzma)", UNPACK),
    b"\x28\xb5\x2f\xfd": Kind("compressed (zstd)", UNPACK),
    b"\x04\x22\x4d\x18": Kind("compressed (lz4)", UNPACK),
    b"LZIP": Kind("compressed (lzip)", UNPACK),
    b"\x1f\x9d": Kind("compressed (compress)", UNPACK),
    b"7z\xbc\xaf\x27\x1c": Kind("a 7z archive", UNPACK),
    b"Rar!": Kind("a RAR archive", UNPACK),
    b"PK\x03\x04": Kind("a zip archive", UNPACK),
    b"PK\x05\x06": Kind("an empty zip archive", AGAIN),
    b"PAR1": PARQUET,
    b"PARE": Kind("an encrypted Parquet file", "decrypt it first"),
    b"ARROW1": Kind("an Arrow file"),
    b"\x89HDF\r\n\x1a\n": Kind("an HDF5 file"),
    b"\x93NUMPY": Kind("a NumPy array"),
    b"GGUF": Kind("a GGUF file of a language model"),
    b"SQLite format 3\0": Kind("an SQLite database"),
    b"\xd0\xcf\x11\xe0": Kind("a document of Office"),
    b"%PDF": Kind("a PDF document"),
    b"\x89PNG": PICTURE,
    b"\xff\xd8\xff": PICTURE,
    b"GIF8": PICTURE,
}


def kind_of(head: bytes) -> Kind | None:
    """Return what the first `HEAD` bytes of a file say that it is; None for what they do not tell."""
    if not head:
        return EMPTY
    if head[257:262] == b"ustar":  # first, as the name that it begins with may be any bytes
        return TAR
    known = next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), None)
    if known is not None:
        return known
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return PAGE
    if head == bytes(len(head)):
        return ZEROS
    return TEXT if all(char in b"\t\n\r" or 32 <= char < 127 for char in head) else None


def kind_of_file(path: Path | str) -> Kind | None:
    """Return what a file on a disk is; None where that is not told, or it is none: a pipe can be read only once."""
    try:
        if not Path(path).is_file():
            return None
        with Path(path).open("rb") as file:
            return kind_of(file.read(HEAD))
    except OSError:
        return None


def described(kind: Kind, remedy: str = "") -> str:
    """Return what a file is, with what would help: the kind's own remedy, else `remedy`."""
    helps = kind.remedy or remedy
    return f"is {kind.words}; {helps}" if helps else f"is {kind.words}"


def instead(kind: Kind | None, expected: str, remedy: str = "") -> str:
    """Return that a file is not what is expected, but another kind; "" where its kind is not known."""
    return f"is not {expected}: it {described(kind, remedy)}" if kind is not None else ""
