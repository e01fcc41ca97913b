"""Detect image formats by content, and files that are truncated."""

from __future__ import annotations

import functools
import importlib.metadata
import struct
import zlib

from storage import file_kinds
from storage.errors import Rejected
from storage.images.left_out import NOT_LISTED

HEIF_DECODER = "pillow-heif"
"""The package of the extra `heif`, which decodes HEIF."""

PNG = b"\x89PNG\r\n\x1a\n"
_STARTS = (
    (b"\xff\xd8\xff", "jpeg"),
    (PNG, "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
)
_OTHERS = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"\0\0\x01\0", "icon"),
    (b"DDS ", "DDS"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance"),
    (b"SIMPLE  =", "FITS"),
    (b"qoif", "QOI"),
    (b"gimp xcf", "GIMP"),
)
WITHOUT_HEIF = "HEIF"
"""How the detail begins of an image that was rejected for want of HEIF's decoder."""

_MOST_CHUNKS = 100_000
"""Chunks of a PNG: every encoder writes fewer and larger ones, and a million empty ones take ten seconds to read."""

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def sniff(data: bytes) -> str:
    """Return the format of a file from its first bytes; raise `Rejected` if it is unsupported or not an image."""
    if not data:
        raise Rejected("empty", "0 bytes")
    kind = next((name for start, name in _STARTS if data.startswith(start)), None) or _by_structure(data)
    if kind:
        return kind
    if len(data) >= 2 and any(start.startswith(data) for start, _ in _STARTS):
        raise Rejected("truncated", f"only {len(data)} bytes of a file header")
    other = next((name for start, name in _OTHERS if data.startswith(start)), None)
    if other is None and b"<svg" in data[:1024].lower():
        other = "SVG"
    if other:
        raise Rejected("unsupported", f"{other} is not among the formats that are read")
    file_kind = file_kinds.kind_of(data[: file_kinds.HEAD])
    known = file_kinds.described(file_kind) if file_kind is not None and file_kind.remedy else ""
    raise Rejected("not-an-image", known or f"starts with {data[:8].hex(' ')}")


def _by_structure(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return _brand(data)
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace() and data[3:4] in b"0123456789# \n":
        return "ppm"
    return None


def _brand(data: bytes) -> str | None:
    """Tell AVIF from other formats in the same container."""
    brands = data[8 : max(12, min(int.from_bytes(data[:4], "big"), 256))]
    if b"avif" in brands or b"avis" in brands:
        return "avif"
    if any(brand in brands for brand in _HEIF_BRANDS):
        if heif_version() is None:
            raise Rejected("unsupported", f"{WITHOUT_HEIF}: {NOT_LISTED['heif'].remedy}")
        return "heif"
    return None


@functools.cache
def heif_version() -> str | None:
    """Return the version of HEIF's decoder, None where the extra `heif` is not installed."""
    try:
        return importlib.metadata.version(HEIF_DECODER)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_whole(kind: str, data: bytes) -> None:
    """Raise `Rejected` if a file's structure shows that its end is missing or (PNG) that a byte has changed.

    Other formats are left to their decoders, which are strict.
    """
    if kind == "png":
        _check_png(data)
    elif kind == "webp" and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise _truncated(len(data), 8 + int.from_bytes(data[4:8], "little"))
    elif kind in ("avif", "heif"):
        _check_boxes(data)


def _truncated(size: int, needed: int) -> Rejected:
    return Rejected("truncated", f"{size:,} of at least {needed:,} bytes")


def _check_png(data: bytes) -> None:
    position = len(PNG)
    for _ in range(_MOST_CHUNKS):
        if position + 12 > len(data):
            raise _truncated(len(data), position + 12)
        length = int.from_bytes(data[position : position + 4], "big")
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if length >= 1 << 31 or not kind.isalpha():
            raise Rejected("broken", f"no PNG chunk at byte {position:,}")
        if end > len(data):
            raise _truncated(len(data), end)
        # Only chunks needed for the pixels: a damaged comment does not matter.
        if kind[:1].isupper():
            stored = int.from_bytes(data[end - 4 : end], "big")
            if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != stored:
                raise Rejected("broken", f"the checksum of the PNG chunk {kind.decode()} is wrong")
        if kind == b"IEND":
            return
        position = end
    raise Rejected("bomb", f"more than {_MOST_CHUNKS:,} PNG chunks")


def _check_boxes(data: bytes) -> None:
    """Check the top-level boxes of an ISO media file."""
    position = 0
    while position < len(data):
        if position + 16 > len(data):
            raise _truncated(len(data), position + 16)
        size = int.from_bytes(data[position : position + 4], "big")
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        if size == 0:
            return
        if size < 8:
            raise Rejected("broken", f"no box at byte {position:,}")
        position += size
    if position > len(data):
        raise _truncated(len(data), position)


def webp_size(data: bytes) -> tuple[int, int]:
    """Read (width, height) from a WebP's first chunk, since its decoder allocates the canvas on opening."""
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X" and len(body) == 10:
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(body) == 10:
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise Rejected("broken", "no WebP picture header")
