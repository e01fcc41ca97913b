"""The decoding policy on files of every odd kind; what is expected is worked out by hand, not by our own code."""

from __future__ import annotations

import io
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.pictures import heif, photo, pixels, png, reason, saved

from storage.errors import Rejected, UsageError
from storage.images import colour, decode, formats

# Sixteen bits.

DEEP = [0, 1, 128, 129, 255, 256, 257, 385, 386, 32767, 32768, 33000, 65279, 65406, 65407, 65535]
"""128/257 = 0.498 → 0 and 129/257 = 0.502 → 1; 385/257 = 1.498 → 1 and 386/257 = 1.502 → 2; 65406/257 = 254.498."""
EIGHT = [0, 0, 0, 1, 1, 1, 1, 1, 2, 127, 128, 128, 254, 254, 255, 255]


def test_the_table_of_sixteen_bits_is_right() -> None:
    assert [int(value / 257 + 0.5) for value in DEEP] == EIGHT


def test_grey_png_of_sixteen_bits() -> None:
    found = pixels(png(16, 1, 16, 0, struct.pack(">16H", *DEEP)))
    assert found[0].tolist() == [[value] * 3 for value in EIGHT]


def test_rgb_png_of_sixteen_bits() -> None:
    rows = b"".join(struct.pack(">3H", v, 65535 - v, 0) for v in DEEP)
    found = pixels(png(16, 1, 16, 2, rows))
    assert found[0].tolist() == [[a, int((65535 - v) / 257 + 0.5), 0] for v, a in zip(DEEP, EIGHT, strict=True)]


def test_png_of_sixteen_bits_with_alpha() -> None:
    found = pixels(png(2, 1, 16, 6, struct.pack(">8H", 65535, 0, 0, 0, 0, 0, 0, 32896)))
    # Fully clear red is white; black at 128/255 leaves 127/255 of the white.
    assert found[0].tolist() == [[255, 255, 255], [127, 127, 127]]
    assert pixels(png(1, 1, 16, 4, struct.pack(">2H", 0, 0)))[0].tolist() == [[255, 255, 255]]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_of_sixteen_bits(order: str, channels: int) -> None:
    out = io.BytesIO()
    values = np.repeat(np.array(DEEP, np.uint16).reshape(1, 16, 1), channels, axis=2)
    values = values[..., 0] if channels == 1 else values
    tifffile.imwrite(out, values, byteorder=order, photometric="minisblack" if channels == 1 else "rgb")
    assert pixels(out.getvalue())[0].tolist() == [[value] * 3 for value in EIGHT]


def test_mutant_pillows_own_conversion_saturates() -> None:
    data = png(16, 1, 16, 0, struct.pack(">16H", *DEEP))
    naive = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[0].tolist()
    assert naive != [[value] * 3 for value in EIGHT]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_an_agreed_range_are_unsupported(mode: str) -> None:
    assert reason(saved(Image.new(mode, (4, 4), 7), "TIFF")) == "unsupported"


def test_sixteen_bit_portable_map() -> None:
    assert pixels(b"P5 4 1 65535\n" + struct.pack(">4H", 0, 386, 32768, 65535))[0, :, 0].tolist() == [0, 2, 128, 255]


# Alpha, palettes, grey.


def blended(value: int, alpha: int) -> int:
    return int(value * alpha / 255 + 255 * (1 - alpha / 255) + 0.5)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_on_white(kind: str) -> None:
    image = Image.new("RGBA", (4, 1))
    values = [(255, 0, 0, 0), (10, 20, 30, 255), (10, 200, 30, 100), (0, 0, 0, 1)]
    for x, value in enumerate(values):
        image.putpixel((x, 0), value)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    expected = [[blended(v, value[3]) for v in value[:3]] for value in values]
    assert pixels(saved(image, kind, **options))[0].tolist() == expected
    assert expected[0] == [255, 255, 255]


def test_grey_with_alpha() -> None:
    image = Image.new("LA", (2, 1), (50, 0))
    image.putpixel((1, 0), (50, 51))
    assert pixels(saved(image, "PNG"))[0].tolist() == [[255] * 3, [blended(50, 51)] * 3]


def test_palette_with_transparency() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    assert pixels(saved(image, "PNG"))[0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    clear = pixels(saved(image, "PNG", transparency=bytes([255, 0, 51])))[0].tolist()
    assert clear == [[10, 20, 30], [255, 255, 255], [blended(v, 51) for v in (70, 80, 90)]]
    assert pixels(saved(image, "GIF", transparency=1))[0].tolist() == [[10, 20, 30], [255, 255, 255], [70, 80, 90]]


def test_a_colour_declared_clear_is_white() -> None:
    rgb = bytes([1, 2, 3, 4, 5, 6])
    assert pixels(png(2, 1, 8, 2, rgb, (b"tRNS", struct.pack(">3H", 4, 5, 6))))[0].tolist() == [[1, 2, 3], [255] * 3]
    assert pixels(png(2, 1, 8, 0, bytes([7, 8]), (b"tRNS", struct.pack(">H", 7))))[0].tolist() == [[255] * 3, [8] * 3]


def test_grey_and_two_colours() -> None:
    assert pixels(saved(Image.new("L", (2, 2), 77), "PNG")).tolist() == [[[77] * 3] * 2] * 2
    assert pixels(saved(Image.new("L", (8, 8), 77), "JPEG")).tolist() == [[[77] * 3] * 8] * 8
    assert pixels(png(8, 1, 1, 0, b"\xa0"))[0, :, 0].tolist() == [255, 0, 255, 0, 0, 0, 0, 0]


# CMYK.


def lab_profile(lightness: int) -> bytes:
    """Build a CMYK profile by hand (ICC.1, lut8): paper is white, coloured ink is grey, black ink is black."""
    grid = b"".join(bytes([level, 128, 128]) for level in [255, 0] + [round(lightness * 255 / 100), 0] * 7)
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + grid + ramp * 3
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    point = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags, body, offset = b"", b"", 128 + 4 + 12 * 4
    for name, data in ((b"desc", text), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", point), (b"A2B0", lut)):
        data += bytes(-len(data) % 4)
        tags += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = offset + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", 4) + tags + body


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_by_formula_and_by_profile(kind: str) -> None:
    inks = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255), (100, 50, 0, 25)]
    for ink in inks:
        image = Image.new("CMYK", (16, 16), ink)
        expected = np.array([(255 - v) * (255 - ink[3]) / 255 for v in ink[:3]])
        assert np.abs(pixels(saved(image, kind))[8, 8] - expected).max() <= 2
    # L* = 50 is the luminance ((50 + 16) / 116)³ = 0.184, which sRGB writes as 119.
    for ink, grey in zip(inks[:4], (255, 119, 119, 0), strict=True):
        data = saved(Image.new("CMYK", (16, 16), ink), kind, icc_profile=lab_profile(50))
        assert np.abs(pixels(data)[8, 8].astype(int) - grey).max() <= 3


def test_a_profile_that_does_not_fit_is_not_used() -> None:
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    for profile in (b"garbage" * 30, lab_profile(50).replace(b"CMYK", b"RGB ")):
        assert np.abs(pixels(saved(image, "TIFF", icc_profile=profile))[8, 8].astype(int) - [0, 255, 255]).max() <= 2


def test_mutant_ignoring_the_profile_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colour, "_MAX_PROFILE", 0)
    data = saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "TIFF", icc_profile=lab_profile(50))
    assert np.abs(pixels(data)[8, 8].astype(int) - 119).max() > 50


# Orientation.

UPRIGHT = {
    # What is stored is  a b   and the tag says how to turn it:
    #                    c d
    #                    e f
    1: ["ab", "cd", "ef"],
    2: ["ba", "dc", "fe"],
    3: ["fe", "dc", "ba"],
    4: ["ef", "cd", "ab"],
    5: ["ace", "bdf"],
    6: ["eca", "fdb"],
    7: ["fdb", "eca"],
    8: ["bdf", "ace"],
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "progressive", "TIFF16"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    block, greys = 16, dict(zip("abcdef", (0, 50, 100, 150, 200, 250), strict=True))
    stored = np.repeat(
        np.repeat(np.array([[greys[c] for c in row] for row in UPRIGHT[1]], np.uint8), block, 0), block, 1
    )
    if kind == "TIFF16":
        out = io.BytesIO()
        tifffile.imwrite(out, stored.astype(np.uint16) * 257, extratags=[(274, 3, 1, orientation, True)])
        data = out.getvalue()
    else:
        image = Image.fromarray(np.repeat(stored[..., None], 3, axis=2))
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"JPEG": {"quality": 95}, "progressive": {"progressive": True}, "WEBP": {"lossless": True}}
        data = saved(image, "JPEG" if kind == "progressive" else kind, exif=exif.tobytes(), **options.get(kind, {}))
    found = pixels(data)[block // 2 :: block, block // 2 :: block, 0].astype(int)
    expected = np.array([[greys[c] for c in row] for row in UPRIGHT[orientation]])
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 4


def test_orientations_that_make_no_sense_are_ignored() -> None:
    for value in (0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = value
        assert pixels(saved(photo(32, 16), "JPEG", exif=exif.tobytes())).shape == (16, 32, 3)
    plain = saved(photo(32, 16), "JPEG")
    for block in (b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"XX" * 40):
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block
        assert pixels(plain[:2] + segment + plain[2:]).shape == (16, 32, 3)


# First frames, names, sizes.


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_the_first_frame_stands_for_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), value) for value in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert np.abs(pixels(data).astype(int) - [255, 0, 0]).max() <= 2
    assert len(data) > len(saved(frames[0], "JPEG" if kind == "MPO" else kind, **options))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_images_one_pixel_wide_are_images(kind: str, size: tuple[int, int]) -> None:
    assert pixels(saved(Image.new("RGB", size, (200, 200, 200)), kind)).shape == (size[1], size[0], 3)


def test_lossless_formats_give_the_pixels_themselves() -> None:
    for kind, options in (
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ):
        assert np.array_equal(pixels(saved(photo(), kind, **options)), np.asarray(photo())), kind


# The fast way and Pillow's.


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2, "quality": 30}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_both_jpeg_decoders_give_the_same(
    mode: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(photo(203, 117).convert(mode), "JPEG", **options)
    calls: list[int] = []
    turbo = decode._decode_by_turbo
    monkeypatch.setattr(decode, "_decode_by_turbo", lambda data: (calls.append(1), turbo(data))[1])
    fast = pixels(data).astype(int)
    assert calls == [1]
    monkeypatch.setattr(decode, "_decode_by_turbo", lambda data: None)
    assert np.abs(fast - pixels(data)).max() <= 2
    assert np.abs(fast - np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).max() <= 2


def test_mutant_a_coarse_decoder_differs() -> None:
    import simplejpeg

    data = saved(photo(203, 117), "JPEG", quality=30)
    coarse = simplejpeg.decode_jpeg(data, "RGB", fastdct=True, fastupsample=True).astype(int)
    assert np.abs(coarse - pixels(data)).max() > 2


def test_a_jpeg_stored_as_rgb_keeps_its_colours() -> None:
    data = saved(Image.new("RGB", (16, 16), (200, 30, 60)), "JPEG", keep_rgb=True, quality=95)
    assert np.abs(pixels(data)[8, 8].astype(int) - [200, 30, 60]).max() <= 2


def test_threads_do_not_change_anything() -> None:
    kinds = ["JPEG", "PNG", "WEBP", "TIFF", "GIF"]
    files = [saved(photo(50 + i, 40), kinds[i % 5]) for i in range(60)] + [
        png(16, 1, 16, 0, struct.pack(">16H", *DEEP)) for _ in range(5)
    ]
    alone = [pixels(data).tobytes() for data in files]
    with ThreadPoolExecutor(4) as pool:
        assert [found.tobytes() for found in pool.map(pixels, files)] == alone


# HEIF, by its extra.


def test_heif_is_read_upright_with_alpha_on_white() -> None:
    image = photo(48, 32)
    assert np.abs(pixels(heif(image)).astype(int) - np.asarray(image)).max() <= 1
    turned = Image.Exif()
    turned[0x0112] = 6
    expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    assert np.abs(pixels(heif(image, exif=turned.tobytes())).astype(int) - expected).max() <= 1
    clear = image.copy()
    clear.putalpha(0)
    assert (pixels(heif(clear)) == 255).all()


def test_grey_heif_of_sixteen_bits_is_scaled_not_cut() -> None:
    deep = Image.fromarray(np.full((16, 16), 40_000, np.uint16))
    assert np.abs(pixels(heif(deep)).astype(int) - round(40_000 / 257)).max() <= 1


def test_heif_that_is_cut_short_is_truncated() -> None:
    data = heif(photo(48, 32))
    assert {reason(data[:count]) for count in (40, 300, len(data) // 2, len(data) - 1)} == {"truncated"}


def test_heif_without_its_decoder_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heif(photo(8, 8))
    monkeypatch.setattr(formats, "heif_version", lambda: None)
    with pytest.raises(Rejected, match=r"unsupported: HEIF: pip install 'actlas\[heif\]'"):
        decode.decode(data)


def test_a_decoder_of_heif_that_does_not_load_is_not_the_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heif(photo(8, 8))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UsageError, match=r"HEIF: its decoder cannot be loaded \(.*\); pip install"):
        decode.decode(data)
