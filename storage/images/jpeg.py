"""Read a JPEG's marker segments without decoding it: its kind, its orientation, whether it is complete."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from storage.errors import Rejected

_SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_SOS, _EOI, _APP1, _APP14 = 0xDA, 0xD9, 0xE1, 0xEE
_ORIENTATION = 0x0112


@dataclass(slots=True)
class Header:
    """Fields from the segments before the first scan; `process` is the number of the start-of-frame marker."""

    process: int = -1
    precision: int = 0
    height: int = 0
    width: int = 0
    components: int = 0
    adobe_transform: int | None = None
    orientation: int = 1
    scan: int = 0
    """Offset of the first scan's segment."""


def header(data: bytes) -> Header:
    """Walk the segments of a JPEG up to its first scan; raise `Rejected` if there is none or its end is missing."""
    parsed, position = Header(), 2
    while True:
        start = data.find(b"\xff", position)
        while 0 <= start < len(data) and data[start] == 0xFF:
            start += 1
        if start < 0 or start >= len(data):
            raise Rejected("truncated", "the file ends before the picture begins")
        marker, position = data[start], start + 1
        if marker in _ALONE or marker == 0:
            continue
        if marker == _EOI:
            raise Rejected("broken", "a JPEG without a picture")
        length = int.from_bytes(data[position : position + 2], "big")
        if position + max(length, 2) > len(data):
            raise Rejected("truncated", "the file ends before the picture begins")
        _parse_segment(parsed, marker, data[position + 2 : position + length])
        if marker == _SOS:
            parsed.scan = start - 1
            break
        position += max(length, 2)
    if parsed.process < 0:
        raise Rejected("broken", "a JPEG without a frame header")
    if data.rfind(b"\xff\xd9") < parsed.scan:
        raise Rejected("truncated", "the end-of-image marker is missing")
    return parsed


def _parse_segment(parsed: Header, marker: int, body: bytes) -> None:
    if marker in _SOF and len(body) >= 6:
        parsed.process = marker & 0xF
        parsed.precision, parsed.height, parsed.width, parsed.components = struct.unpack(">BHHB", body[:6])
    elif marker == _APP14 and body[:5] == b"Adobe" and len(body) >= 12:
        parsed.adobe_transform = body[11]
    elif marker == _APP1 and body[:6] == b"Exif\0\0" and parsed.orientation == 1:
        parsed.orientation = exif_orientation(body[6:])


def exif_orientation(tiff: bytes) -> int:
    """Read the orientation 1 … 8 from the first directory of an EXIF block; 1 if it is missing or invalid."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    if directory + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, directory)
    for place in range(directory + 2, min(directory + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, place)
        if tag == _ORIENTATION:
            return value if kind == 3 and 1 <= value <= 8 else 1
    return 1
