"""Image files made for tests: good, odd, broken, and bombs."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.errors import Rejected
from storage.images import decode, formats
from storage.images.decode import REASONS

Array = NDArray[np.uint8]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photo(width: int = 96, height: int = 64) -> Image.Image:
    """A picture with edges and slopes in every channel."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x // 8 + y // 8) % 2 * 200], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def pixels(data: bytes) -> Array:
    image = decode.decode(data)
    assert image.mode == "RGB"
    return np.asarray(image)


def reason(data: bytes) -> str:
    try:
        decode.decode(data)
    except Rejected as error:
        rejected = error
    else:
        return "accepted"
    assert rejected.reason in REASONS
    assert rejected.detail
    assert "\n" not in str(rejected)
    return rejected.reason


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """Write a PNG by hand: `rows` are the unfiltered lines, big-endian, without filter bytes."""
    line = len(rows) // height
    lines = b"".join(b"\0" + rows[i * line : (i + 1) * line] for i in range(height))
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return formats.PNG + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def tiff_header(width: int, height: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 10)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def bombs() -> dict[str, bytes]:
    """Small files whose headers claim pictures of gigabytes."""
    jpeg_file, gif, bmp = (bytearray(saved(photo(), kind)) for kind in ("JPEG", "GIF", "BMP"))
    place = jpeg_file.index(b"\xff\xc0") + 5
    jpeg_file[place : place + 4] = struct.pack(">HH", 60_000, 60_000)
    frame = bytearray(gif)
    place = frame.index(b"\x2c", 13 + 768) + 5
    frame[place : place + 4] = struct.pack("<HH", 60_000, 60_000)
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    j2k = bytearray(saved(photo(), "JPEG2000"))
    place = j2k.index(b"\xff\x51") + 6
    j2k[place : place + 8] = struct.pack(">II", 60_000, 60_000)
    ihdr = j2k.index(b"ihdr") + 4
    j2k[ihdr : ihdr + 8] = struct.pack(">II", 60_000, 60_000)
    canvas = (16_382).to_bytes(3, "little")
    webp = (
        b"VP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + canvas * 2 + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    )
    scans = bytearray(saved(photo(640, 480), "JPEG", progressive=True))
    scans[-2:-2] = bytes(scans[scans.rindex(b"\xff\xda") : -2]) * 4000
    return {
        "png 13000": png(13_000, 13_000, 8, 2, bytes(39_000 * 13_000)[:13_000]),
        "png 20000": png(20_000, 20_000, 16, 6, b"0" * 20_000),
        "jpeg": bytes(jpeg_file),
        "jpeg of many scans": bytes(scans),
        "gif": bytes(gif),
        "gif frame": bytes(frame),
        "bmp": bytes(bmp),
        "tiff": tiff_header(60_000, 60_000),
        "webp": b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp,
        "jpeg2000": bytes(j2k),
        "ppm": b"P6 60000 60000 255\n" + bytes(100),
        "png text": png(1, 1, 8, 0, b"a", (b"zTXt", b"k\0\0" + zlib.compress(bytes(80 << 20)))),
    }


def broken_files() -> list[tuple[str, bytes]]:
    """A hundred files that can't be used, each with the reason it should be given."""
    rng = np.random.default_rng(5)
    files = [("bomb", data) for data in bombs().values()]
    files += [("empty", b""), ("empty", b"")]
    for start in (b"8BPS\0\1", b"%PDF-1.7", b"%!PS-Adobe", b"DDS |", b"qoif", b"\xff\x0a\xff\x07", b"<svg xmlns='x'>"):
        files.append(("unsupported", start + bytes(200)))
    heif = "unsupported" if formats.heif_version() is None else "broken"
    files.append((heif, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)))
    for text in (b"hello\n", b"<html><body>404</body></html>", b"BM is not a bitmap, this is text", b'{"a": 1}', b"P"):
        files.append(("not-an-image", text))
    files += [("not-an-image", b"\x07" + rng.bytes(int(size))) for size in rng.integers(1, 5000, 20)]
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        for size in (40, 80, 160):
            data = saved(photo(size, size), kind)
            files += [("truncated", data[: int(len(data) * share)]) for share in (0.3, 0.6, 0.9)]
    for size in range(14):
        data = bytearray(saved(photo(50 + size, 50), "PNG"))
        data[data.index(b"IDAT") + 30 + size] ^= 0x10
        files.append(("broken", bytes(data)))
    files.append(("truncated", formats.PNG[:4]))
    jpeg_file = saved(photo(), "JPEG")
    files.append(("broken", jpeg_file[:2] + b"\xff\xd9"))
    files.append(("broken", b"RIFF" + struct.pack("<I", 30) + b"WEBPXXXX" + bytes(30)))
    return files


def heif(image: Image.Image, **options: object) -> bytes:
    """Write HEIF without loss, by the extra `heif`."""
    import pillow_heif

    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, quality=-1, chroma=444, **options)
    return out.getvalue()
