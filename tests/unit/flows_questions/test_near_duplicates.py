"""Near-duplicates among pictures: the same photo encoded anew, resized or cut otherwise, and nothing else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from flows.questions import near_duplicates

SIDE = 72


def scene(seed: int) -> Image.Image:
    """Return a picture with coarse structure, as photos have."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return coarse.filter(ImageFilter.GaussianBlur(1))


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def test_a_photo_encoded_anew_resized_or_cut_a_little_is_folded_into_the_first() -> None:
    first, other = scene(1), scene(2)
    brighter = first.point(lambda value: min(255, value + 6))
    pictures = [
        jpeg(first),
        jpeg(other),
        jpeg(first, 30),
        jpeg(first.resize((50, 50))),
        jpeg(first.crop((1, 1, 71, 71))),
        jpeg(brighter),
    ]
    assert near_duplicates.leaders(pictures) == [0, 1, 0, 0, 0, 0]


def test_different_photos_and_mirrored_ones_are_not() -> None:
    pictures = [jpeg(scene(seed)) for seed in range(12)]
    mirrored = jpeg(scene(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert near_duplicates.leaders([*pictures, mirrored]) == list(range(13))


def test_plain_patches_are_only_if_they_are_equal() -> None:
    plain = [jpeg(Image.new("RGB", (SIDE, SIDE), (level, level, level))) for level in (200, 202, 200)]
    assert near_duplicates.leaders(plain) == [0, 1, 0]


@pytest.mark.parametrize(("name", "value"), [("CORRELATION", -1.0), ("DIFFERENCE", 1.0)])
def test_mutant_each_half_of_the_rule_counts(monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> None:
    dim = scene(1).point(lambda level: level // 2)  # correlates, and differs
    shifted = Image.blend(Image.new("RGB", (SIDE, SIDE), (128,) * 3), scene(2), 0.08)  # is near grey, as another is
    grey = Image.blend(Image.new("RGB", (SIDE, SIDE), (128,) * 3), scene(3), 0.08)
    pictures = [jpeg(scene(1)), jpeg(dim)] if name == "DIFFERENCE" else [jpeg(shifted), jpeg(grey)]
    assert near_duplicates.leaders(pictures) == [0, 1]
    monkeypatch.setattr(near_duplicates, name, value)
    assert near_duplicates.leaders(pictures) == [0, 0]
