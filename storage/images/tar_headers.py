"""Read the headers of an untrusted tar archive.

The formats are POSIX ustar and pax, and GNU's long names. Offsets only increase, so that no header can cause an endless
loop; nothing is ever written or unpacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

BLOCK = 512
_MAX_NAME = 1 << 20
_MAX_OFFSET = 1 << 62
_MAX_ZEROS = 1 << 20
"""Bytes of zeros behind an archive, after which no other one is looked for; tar pads to 10 KiB."""
_EXTENSIONS = frozenset(b"LKxg")
_REGULAR = frozenset(b"07\0")
_REFUSED = {**dict.fromkeys(b"12", "link"), **dict.fromkeys(b"346", "device"), ord("S"): "sparse"}

ReadAt = Callable[[int, int], bytes]
"""(length, offset) → bytes, or fewer at the end of the file."""


class NotATar(ValueError):
    """The first block, `head`, is not a tar header."""

    def __init__(self, head: bytes) -> None:
        super().__init__(f"the first {BLOCK} bytes are not a tar header")
        self.head = head


@dataclass(frozen=True, slots=True)
class Member:
    """An entry: the position of its bytes, and in `refused` the reason for not using them."""

    name: str
    offset: int
    size: int
    refused: str = ""


def members(read_at: ReadAt) -> Iterator[Member]:
    """Yield the members of a tar in stored order; a damaged or missing tail yields a member refused as `cut-short`.

    Raise `NotATar` if the first block is not a header.
    """
    offset, extended = 0, _Extended()
    while True:
        header = read_at(BLOCK, offset)
        if len(header) == BLOCK and header.count(0) == BLOCK:
            if (after := _after_end(read_at, offset)) is None:
                return
            offset = after
            continue
        stored = _number(header[124:136]) if len(header) == BLOCK and _is_header(header) else -1
        if not 0 <= stored < _MAX_OFFSET - offset:
            if offset == 0:
                raise NotATar(header)
            yield Member("", offset, 0, "cut-short")
            return
        kind, start = header[156], offset + BLOCK
        if kind in _EXTENSIONS:
            extended = _extend(extended, kind, read_at(min(stored, _MAX_NAME), start))
            offset = start + _padded(stored)
            continue
        if kind == ord("S") and header[482]:
            start = _after_sparse_map(read_at, start)
        member = _member(header, start, extended, stored)
        yield member
        offset = start + _padded(member.size)
        extended = _Extended()


def _after_end(read_at: ReadAt, offset: int) -> int | None:
    """Return where another archive begins behind the zeros that end one, as `cat a.tar b.tar` leaves it; None if none does."""
    for start in range(offset + BLOCK, offset + _MAX_ZEROS, BLOCK):
        block = read_at(BLOCK, start)
        if len(block) < BLOCK or block.count(0) < BLOCK:
            return start if len(block) == BLOCK and _is_header(block) else None
    return None


@dataclass(frozen=True, slots=True)
class _Extended:
    """Fields of a member given by the extension headers before it."""

    name: str = ""
    size: int = -1
    sparse: bool = False


def _extend(extended: _Extended, kind: int, text: bytes) -> _Extended:
    """Add the fields that a GNU long name or a pax header gives for the next member; ignore other kinds."""
    if kind == ord("L"):
        return replace(extended, name=_text(text.split(b"\0", 1)[0]))
    for key, value in _pax(text) if kind == ord("x") else ():
        if key == "path":
            extended = replace(extended, name=_text(value))
        elif key == "size" and value.isdigit() and len(value) < 19:
            extended = replace(extended, size=int(value))
        elif key.startswith("GNU.sparse."):
            extended = replace(extended, sparse=True)
    return extended


def _after_sparse_map(read_at: ReadAt, start: int) -> int:
    """Skip the continuation blocks of an old GNU sparse member's map; return the offset after them."""
    while len(block := read_at(BLOCK, start)) == BLOCK:
        start += BLOCK
        if not block[504]:
            break
    return start


def _member(header: bytes, start: int, extended: _Extended, stored: int) -> Member:
    kind, size = header[156], stored if extended.size < 0 else extended.size
    name = extended.name or _short_name(header)
    if kind in _REFUSED:
        # Links and devices have no bytes, regardless of their size field.
        return Member(name, start, size if kind == ord("S") else 0, _REFUSED[kind])
    if extended.sparse:
        return Member(name, start, size, "sparse")
    if kind not in _REGULAR or name.endswith("/"):
        return Member(name, start, 0 if kind == ord("5") else size, "not-a-file")
    return Member(name, start, size)


def _pax(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the records `length key=value\\n` of a pax header, up to the first malformed one."""
    while text:
        count, _, _ = text.partition(b" ")
        if not count.isdigit() or len(count) > 8 or not 0 < int(count) <= len(text):
            return
        record, text = text[len(count) + 1 : int(count) - 1], text[int(count) :]
        key, equals, value = record.partition(b"=")
        if not equals:
            return
        yield _text(key), value


def _is_header(header: bytes) -> bool:
    """Check the header's checksum: the sum of its bytes with the field itself read as spaces."""
    return _number(header[148:156]) == sum(header) - sum(header[148:156]) + 8 * ord(" ")


def _number(field: bytes) -> int:
    """Parse an octal or base-256 number; −1 if it is neither, or negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    try:
        return int(digits or b"0", 8) if digits.isdigit() or not digits else -1
    except ValueError:
        return -1


def _short_name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(name: bytes) -> str:
    """Decode a name as UTF-8, with other bytes as escapes, so that every name has a key."""
    return name.decode("utf-8", "backslashreplace")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
