"""Decode a file's bytes to one RGB image, or reject it with a reason, by the policy in docs/images.md."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import simplejpeg
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from storage.errors import ActlasError, Rejected, UsageError, first_line
from storage.images import colour, formats, jpeg

REASONS = ("empty", "not-an-image", "unsupported", "truncated", "broken", "bomb", "too-large")
"""Reasons for rejecting an image; `too-large` comes from reading, the others from `decode`."""

MAX_PIXELS = 64_000_000
_MAX_SCANS = 16


def _open_heif(stream: io.BytesIO) -> ImageFile.ImageFile:
    """Open HEIF, by the extra `heif`: 8 bits a channel, turned upright by the decoder."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:  # not the image's fault
        raise UsageError(
            f"HEIF: its decoder cannot be loaded ({first_line(error)}); pip install --force-reinstall pillow-heif"
        ) from error
    image: ImageFile.ImageFile = HeifImageFile(stream)
    return image


_OPENERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    # The classes themselves, since Image.open warns about large images before we can check their size.
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
    "heif": _open_heif,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "jpeg2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "ppm": PpmImagePlugin.PpmImageFile,
}
_TRUNCATED = re.compile(
    r"truncat|premature|unexpected end|end of (file|data|image)|EOF|not enough|incomplete", re.IGNORECASE
)
PngImagePlugin.MAX_TEXT_MEMORY = 16 << 20  # 60 kB of compressed comments may expand to Pillow's 64 MiB
_EXPANDS = re.compile(r"decompressed data too large|too much memory used in text", re.IGNORECASE)
# Pillow logs some broken files as well as raising; the rejection is enough.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


def decode(data: bytes, max_pixels: float = MAX_PIXELS) -> Image.Image:
    """Decode a file's bytes to one upright RGB image of at most `max_pixels`.

    Raise `Rejected` with one of `REASONS`. Thread-safe; equal bytes always take the same path.
    """
    kind = formats.sniff(data)
    try:
        formats.check_whole(kind, data)
        return _decode_jpeg(data, max_pixels) if kind == "jpeg" else _decode_other(kind, data, max_pixels)
    except (ActlasError, MemoryError):
        raise
    except Exception as error:  # decoders may raise anything on hostile bytes: the image is always at fault
        raise _rejection(kind, error) from error


def _decode_jpeg(data: bytes, max_pixels: float) -> Image.Image:
    """Decode by libjpeg-turbo directly where it equals Pillow, since it is faster."""
    head = jpeg.header(data)
    _check_size(head.width, head.height, max_pixels)
    if head.process == 2:
        _check_scans(data.count(b"\xff\xda", head.scan) * head.width * head.height, max_pixels)
    image = None
    if head.process < 3 and head.precision == 8 and head.components in (1, 3) and head.adobe_transform != 0:
        image = _decode_by_turbo(data)
    return colour.upright(image or _decode_by_pillow("jpeg", data, max_pixels), head.orientation)


def _decode_by_turbo(data: bytes) -> Image.Image | None:
    """Decode an 8-bit grey or YCbCr JPEG; None after an error of libjpeg that Pillow may ignore."""
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGBX", strict=True)
    except ValueError as error:
        if _TRUNCATED.search(str(error)):
            raise
        return None
    height, width, _ = pixels.shape
    # Pillow stores RGB in four bytes per pixel, so these can be passed on without a copy.
    array = pa.Array.from_buffers(pa.uint8(), pixels.size, [None, pa.py_buffer(pixels)])
    return Image.fromarrow(array, "RGB", (width, height))


def _decode_other(kind: str, data: bytes, max_pixels: float) -> Image.Image:
    if kind == "webp":
        _check_size(*formats.webp_size(data), max_pixels)
    return _decode_by_pillow(kind, data, max_pixels)


def _decode_by_pillow(kind: str, data: bytes, max_pixels: float) -> Image.Image:
    """Decode the first frame by Pillow, and make it upright unless the caller does (JPEG)."""
    if _QUIET not in warnings.filters:
        # For the whole process: silencing a single call (catch_warnings) is not thread-safe.
        warnings.filterwarnings("ignore", module=r"PIL\.")
    with _OPENERS[kind](io.BytesIO(data)) as image:
        _check_size(image.width, image.height, max_pixels)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            _check_tiff(image, len(data))
        orientation = 1 if kind in ("jpeg", "tiff", "heif") else image.getexif().get(0x0112, 1)
        if (kind == "png" and data[24] == 16) or (kind == "tiff" and _bits(image) == 16):
            orientation = image.getexif().get(0x0112, 1)
            return colour.upright(colour.from_16_bit(colour.decode_16_bit(data)), orientation)
        image.load()
        if (kind, image.mode) in (("ppm", "I"), ("heif", "I;16")):
            return colour.from_16_bit(np.asarray(image).astype(np.uint16)[..., None])
        return colour.upright(colour.to_rgb(image), orientation)


def _check_size(width: int, height: int, max_pixels: float) -> None:
    if width < 1 or height < 1:
        raise Rejected("broken", f"{width} × {height} pixels")
    if width * height > max_pixels:
        raise Rejected("bomb", f"{width:,} × {height:,} pixels, more than {max_pixels:,.0f}")


def _check_scans(pixels: int, max_pixels: float) -> None:
    """Reject a progressive JPEG with so many scans that decoding would take minutes."""
    if pixels > _MAX_SCANS * max_pixels:
        raise Rejected("bomb", f"{pixels:,} pixels in all scans, more than {_MAX_SCANS * max_pixels:,.0f}")


def _bits(image: ImageFile.ImageFile) -> int:
    """Return the bits per channel of a TIFF; reject those that are neither 1 … 8 nor unsigned 16."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    sample_formats = set(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)))
    photometric = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 2)
    if bits > 8 and (bits != 16 or not sample_formats <= {1, 4} or photometric not in (0, 1, 2)):
        raise Rejected("unsupported", f"a TIFF of {bits} bits a channel, sample formats {sorted(sample_formats)}")
    return int(bits)


def _check_tiff(image: TiffImagePlugin.TiffImageFile, size: int) -> None:
    """Reject a TIFF with strips or tiles past the end of the file."""
    for offsets, counts in ((273, 279), (324, 325)):
        spans = zip(image.tag_v2.get(offsets, ()), image.tag_v2.get(counts, ()), strict=False)
        for offset, count in spans:
            if offset + count > size:
                raise Rejected("truncated", f"{size:,} of at least {offset + count:,} bytes")


def _rejection(kind: str, error: Exception) -> Rejected:
    """Turn a decoder's exception into a rejection with a reason."""
    text = (str(error).splitlines() or [type(error).__name__])[0][:200] or type(error).__name__
    if isinstance(error, Image.DecompressionBombError) or _EXPANDS.search(text):
        return Rejected("bomb", f"{kind}: {text}")
    truncated = isinstance(error, EOFError) or _TRUNCATED.search(text)
    return Rejected("truncated" if truncated else "broken", f"{kind}: {text}")
