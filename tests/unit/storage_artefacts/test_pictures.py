"""Pictures read back: pixel by pixel where nothing may be lost, nearly where something may."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from storage.artefacts import pictures
from storage.artefacts.pictures import TILE, decode, encode, write_png, write_pyramid
from storage.errors import Damaged, StoreError


def read(path: Path) -> np.ndarray:
    return decode(path.read_bytes(), name=str(path))


def noise(height: int = 300, width: int = 530) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(side: int = 64) -> np.ndarray:
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    return np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], np.uint8(90)), axis=2)


def deepest(descriptor: Path) -> np.ndarray:
    """Put the tiles of the deepest level together, by the size that the descriptor tells."""
    text = descriptor.read_text()
    height, width = (int(re.search(f'{axis}="(\\d+)"', text)[1]) for axis in ("Height", "Width"))
    folder = descriptor.with_name(descriptor.stem + "_files")
    level = folder / str(max(int(f.name) for f in folder.iterdir()))
    whole = np.zeros((height, width, 3), np.uint8)
    for tile in level.iterdir():
        col, row = map(int, tile.stem.split("_"))
        pixels = read(tile)
        whole[row * TILE : row * TILE + len(pixels), col * TILE : col * TILE + pixels.shape[1]] = pixels
    return whole


def tree(folder: Path) -> str:
    """Hash all names and bytes under a folder."""
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def test_deepest_level_of_a_pyramid_is_the_picture(tmp_path: Path) -> None:
    picture = noise()
    strips = (picture[i : i + 70] for i in range(0, 300, 70))
    descriptor = write_pyramid(strips, tmp_path / "grid-20", size=(300, 530), quality=None)
    assert descriptor == tmp_path / "grid-20.dzi"
    assert np.array_equal(deepest(descriptor), picture)
    levels = sorted(int(f.name) for f in (tmp_path / "grid-20_files").iterdir())
    assert levels == list(range(11))  # 530 → 265 → … → 1
    assert read(tmp_path / "grid-20_files/0/0_0.webp").shape == (1, 1, 3)


def test_pyramids_are_the_same_bytes_without_a_date_and_leave_nothing_else(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_pyramid(noise(), tmp_path / name / "x.dzi")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert {f.name for f in (tmp_path / "a").iterdir()} == {"x.dzi", "x_files"}
    assert {f.suffix for f in (tmp_path / "a").rglob("*") if f.is_file()} == {".dzi", ".webp"}


def test_lossy_tiles_are_near(tmp_path: Path) -> None:
    picture = np.tile(smooth(), (5, 5, 1))
    assert np.abs(deepest(write_pyramid(picture, tmp_path / "x")).astype(int) - picture).mean() < 4


@pytest.mark.parametrize("strips", [[noise(10, 8)], [noise(20, 7)], [], [noise(20, 8).astype(float)]])
def test_strips_that_do_not_make_the_picture_are_refused_and_leave_nothing(strips: list, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="strip"):
        write_pyramid(iter(strips), tmp_path / "x", size=(20, 8))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "x_files").write_bytes(b"in the way")
    with pytest.raises(StoreError, match="x can't be written"):
        write_pyramid(noise(), tmp_path / "x")


def test_pictures_are_read_back(tmp_path: Path) -> None:
    write_png(noise(), tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png"), noise())
    assert np.array_equal(decode(encode(noise(), ".webp", quality=None)), noise())
    for suffix in (".webp", ".jpg"):
        assert np.abs(decode(encode(smooth(), suffix)).astype(int) - smooth()).mean() < 4
    assert encode(smooth(), ".jpg") == encode(smooth(), ".jpg")
    # A view that is not contiguous is the picture it shows.
    assert np.array_equal(decode(encode(noise()[::-1, ::2], ".png")), noise()[::-1, ::2])


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_a_torn_picture_is_damaged_and_named(suffix: str, tmp_path: Path) -> None:
    data = encode(noise(), suffix)
    for part in (data[: len(data) // 2], b"", b"not a picture"):
        (tmp_path / "torn").write_bytes(part)
        with pytest.raises(Damaged, match="torn does not decode"):
            read(tmp_path / "torn")


@pytest.mark.parametrize("picture", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)])
def test_what_is_no_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a picture must be uint8"):
        encode(picture, ".png")


def test_mutant_a_lossy_deepest_level_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_webp_options", lambda quality: "Q=90")
    with pytest.raises(AssertionError):
        test_deepest_level_of_a_pyramid_is_the_picture(tmp_path)


def test_mutant_the_date_left_in_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    with pytest.raises(AssertionError):
        test_pyramids_are_the_same_bytes_without_a_date_and_leave_nothing_else(tmp_path)
