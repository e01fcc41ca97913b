"""What is no usable image is rejected, with the right reason, at no cost and with no noise."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings
import zlib
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from PIL import ImageFile
from support.pictures import bombs, broken_files, heif, photo, pixels, png, reason, saved

from storage.errors import Rejected
from storage.images import decode
from storage.images.decode import REASONS


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "WEBP", "AVIF", "TIFF", "BMP"])
def test_files_cut_anywhere_are_truncated(kind: str) -> None:
    options = {"progressive": {"progressive": True}}.get(kind, {})
    image = photo(160, 120)
    data = saved(image, "JPEG" if kind == "progressive" else kind, **options)
    cuts = {len(data) * part // 20 for part in range(1, 20)} | {len(data) - 1, len(data) - 5}
    assert Counter(reason(data[:cut]) for cut in cuts) == {"truncated": len(cuts)}
    assert reason(data) == "accepted"


def test_mutant_forgiving_pillow_accepts_cut_files(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(photo(160, 120), "JPEG")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(decode.jpeg, "header", lambda data: decode.jpeg.Header(0, 8, 120, 160, 3))
    monkeypatch.setattr(decode, "_decode_by_turbo", lambda data: None)
    assert reason(data[: len(data) // 2]) == "accepted"


def test_a_jpeg_with_a_hole_is_truncated() -> None:
    data = saved(photo(320, 240), "JPEG")
    assert reason(data[: len(data) // 2] + b"\xff\xd9") == "truncated"


def test_bytes_after_the_end_do_no_harm() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        assert reason(saved(photo(), kind) + b"trailing" * 50) == "accepted"


def test_a_flipped_bit_in_a_png_is_broken() -> None:
    data = bytearray(saved(photo(), "PNG"))
    data[data.index(b"IDAT") + 40] ^= 1
    assert reason(bytes(data)) == "broken"


def test_bombs_are_rejected_from_their_headers() -> None:
    found = {name: reason(data) for name, data in bombs().items()}
    assert found == dict.fromkeys(found, "bomb")


def test_bombs_cost_no_memory() -> None:
    script = """
        import resource, sys
        sys.path.insert(0, "tests")
        from support import pictures as here
        files = here.bombs()
        for kind in ("JPEG", "PNG", "WEBP", "GIF"):
            here.pixels(here.saved(here.photo(), kind))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for data in files.values():
            here.reason(data)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 32 << 10  # KiB


def test_the_texts_and_chunks_of_a_png_are_capped() -> None:
    """The largest take seconds, or memory in no proportion to the file; none has anything to do with the picture."""
    mebibyte = b"a\0\0" + zlib.compress(bytes(1 << 20), 9)
    picture = photo().tobytes()

    def outcome(*extra: tuple[bytes, bytes]) -> str:
        return reason(png(96, 64, 8, 2, picture, *extra))

    assert outcome(*[(b"zTXt", mebibyte)] * 15) == "accepted"
    assert outcome(*[(b"zTXt", mebibyte)] * 17) == "bomb"
    assert outcome(*[(b"iTXt", b"a\0\1\0\0\0" + mebibyte[3:])] * 17) == "bomb"
    assert outcome((b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 22), 9))) == "bomb"
    assert outcome((b"tEXt", b"a\0" + b"b" * (15 << 20))) == "accepted"
    for name in (b"tEXt", b"abCd", b"IDAT"):
        body = b"a\0" if name == b"tEXt" else b""
        assert outcome(*[(name, body)] * 5_000) == "accepted"
        assert outcome(*[(name, body)] * 100_000) == "bomb"


def test_a_limit_of_ones_own() -> None:
    with pytest.raises(Rejected, match="bomb: 96 × 64 pixels, more than 6,000"):
        decode.decode(saved(photo(), "PNG"), max_pixels=6000)


def test_a_hundred_broken_files_get_the_right_reason_and_harm_no_other() -> None:
    broken = broken_files()
    assert len(broken) >= 100
    good = [saved(photo(40 + i, 40), ("JPEG", "PNG", "WEBP")[i % 3]) for i in range(30)]
    alone = [pixels(data).tobytes() for data in good]
    mixed = [reason(data) for _, data in broken]
    assert [(want, got) for (want, _), got in zip(broken, mixed, strict=True) if want != got] == []
    assert set(mixed) == set(REASONS) - {"too-large"}
    assert [pixels(data).tobytes() for data in good] == alone


def test_mutant_a_decoder_that_trusts_headers_lets_bombs_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_check_size", lambda width, height, most: None)
    assert reason(png(9000, 9000, 1, 0, b"\0" * 1125 * 9000)) == "accepted"
    monkeypatch.undo()
    assert reason(png(9000, 9000, 1, 0, b"\0" * 1125 * 9000)) == "bomb"


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Change up to eight bytes, mostly near the front, where headers are."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(len(data) if rng.random() < 0.3 else min(len(data), 120)))] = int(rng.integers(256))
    return bytes(changed)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "HEIF"])
def test_mutated_files_are_decoded_or_rejected_and_nothing_else(
    kind: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(len(kind))
    data = heif(photo(40, 30)) if kind == "HEIF" else saved(photo(40, 30), kind)
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()  # a decoder in a thread may have set our filter before, behind this one
        warnings.simplefilter("always")
        outcomes = Counter(reason(mutated(data, rng)) for _ in range(120))
    assert set(outcomes) <= {"accepted", *REASONS}
    assert [str(warning.message) for warning in caught] == []
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_interrupts_and_lack_of_memory_are_not_the_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(error: type[BaseException]) -> Callable[[bytes], None]:
        def turbo(data: bytes) -> None:
            raise error

        return turbo

    for error in (MemoryError, KeyboardInterrupt):
        monkeypatch.setattr(decode, "_decode_by_turbo", fails(error))
        with pytest.raises(error):
            decode.decode(saved(photo(), "JPEG"))
