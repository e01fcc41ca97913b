"""Preprocessing equals torchvision's and timm's, and knows where its pixels come from."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import models
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize, ToTensor
from torchvision.transforms import functional as reference
from torchvision.transforms._presets import ImageClassification

from atlas.arrays import Geometry
from storage.models.preprocessing import Preprocess, from_fingerprint, from_timm, from_torchvision

SIZES = [(500, 375), (375, 500), (256, 256), (224, 224), (100, 80), (1, 1), (3, 100), (401, 257), (225, 600)]
WEIGHTS = [
    models.ResNet50_Weights.IMAGENET1K_V1,
    models.ResNet50_Weights.IMAGENET1K_V2,
    models.EfficientNet_B3_Weights.IMAGENET1K_V1,
    models.EfficientNet_V2_S_Weights.IMAGENET1K_V1,
    models.Swin_V2_T_Weights.IMAGENET1K_V1,
    models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1,
    models.Inception_V3_Weights.IMAGENET1K_V1,
]


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def shown(preset: Any, image: Image.Image) -> Image.Image:
    """What torchvision's preset looks at before it scales values."""
    resized = reference.resize(image, preset.resize_size, interpolation=preset.interpolation)
    return reference.center_crop(resized, preset.crop_size)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_torchvision_presets_are_equalled_to_the_bit(weights: Any) -> None:
    preset = weights.transforms()
    ours = from_torchvision(preset)
    for size in SIZES:
        image = noise(*size)
        assert np.array_equal(ours.pixels(image), np.asarray(shown(preset, image))), size
        assert torch.equal(ours(image), preset(image)), size


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["bilinear", "bicubic", "lanczos", "nearest"]),
)
def test_any_sizes_equal_torchvisions(width: int, height: int, resize: int, crop: int, interpolation: str) -> None:
    preset = ImageClassification(crop_size=crop, resize_size=resize, interpolation=InterpolationMode(interpolation))
    image = noise(width, height)
    assert np.array_equal(from_torchvision(preset).pixels(image), np.asarray(shown(preset, image)))


def test_mutant_a_crop_that_rounds_up_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    from storage.models import preprocessing

    monkeypatch.setattr(preprocessing, "_crop_start", lambda resized, crop: -((crop - resized) // 2))
    preset = ImageClassification(crop_size=224, resize_size=225)
    assert not np.array_equal(
        from_torchvision(preset).pixels(noise(300, 300)), np.asarray(shown(preset, noise(300, 300)))
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"crop_pct": 0.95, "interpolation": "bicubic"},
        {"crop_mode": "squash", "crop_pct": 1.0},
        {"input_size": (3, 240, 240)},
    ],
)
def test_timm_configurations_are_equalled(changes: dict[str, Any]) -> None:
    config = {
        "input_size": (3, 224, 224),
        "interpolation": "bilinear",
        "crop_pct": 0.875,
        "crop_mode": "center",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.25, 0.3),
    } | changes
    theirs = timm.data.create_transform(**config, is_training=False)
    for size in SIZES:
        image = noise(*size)
        assert torch.allclose(from_timm(config)(image), theirs(image), rtol=0, atol=1e-6), size


def test_what_cannot_be_stood_for_is_refused() -> None:
    base = {"input_size": (3, 224, 224), "mean": (0, 0, 0), "std": (1, 1, 1)}
    with pytest.raises(ValueError, match="border"):
        from_timm(base | {"crop_mode": "border"})
    with pytest.raises(ValueError, match="224 × 160"):
        from_timm(base | {"input_size": (3, 224, 160)})
    with pytest.raises(ValueError, match="4 channels"):
        from_timm(base | {"input_size": (4, 224, 224)})
    with pytest.raises(ValueError, match="not torchvision's"):
        from_torchvision(ToTensor())
    for wrong in (
        {"interpolation": "cubic"},
        {"std": (0.0, 1.0, 1.0)},
        {"mean": (0.5,)},
        {"crop": None},
        {"crop": (0, 4)},
    ):
        with pytest.raises(ValueError, match=r"\d|cubic|without a crop"):
            Preprocess(**wrong)  # type: ignore[arg-type]


def test_normalise_keeps_channels_last_and_equals_the_formula() -> None:
    ours = Preprocess(crop=(4, 5))
    batch = torch.arange(2 * 4 * 5 * 3, dtype=torch.uint8).view(2, 4, 5, 3)
    found = ours.normalise(batch)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.dtype == torch.float32
    for b, c, y, x in itertools.product(range(2), range(3), range(4), range(5)):
        assert float(found[b, c, y, x]) == pytest.approx(
            (int(batch[b, y, x, c]) / 255 - ours.mean[c]) / ours.std[c], abs=1e-6
        )
    assert ours.blank(7).shape == (7, 4, 5, 3)


def test_grey_models_get_one_channel() -> None:
    ours = Preprocess(resize=28, crop=(28, 28), mean=(0.1307,), std=(0.3081,))
    image = noise(40, 60)
    expected = Compose([Resize(28), CenterCrop(28), ToTensor()])(image.convert("L"))
    assert torch.allclose(ours(image), (expected - 0.1307) / 0.3081, rtol=0, atol=1e-6)
    assert ours.blank(2).shape == (2, 28, 28, 1)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (2, 9000)])
def test_needles_are_resized_without_their_whole(size: tuple[int, int]) -> None:
    preset = ImageClassification(crop_size=32, resize_size=40)
    image = noise(*size)
    ours = from_torchvision(preset)
    needle = ours._resize_cropped(image, *ours._resized(*size), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(needle).astype(int) - np.asarray(shown(preset, image))).max() <= 1
    assert Preprocess().pixels(noise(1, 20_000)).shape == (224, 224, 3)


# Geometry.


def marked(ours: Any, width: int, height: int, x: int, y: int) -> tuple[float, float]:
    """Where a white block of the source comes out: the centre of mass (x, y) in the input."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y - 4 : y + 5, x - 4 : x + 5] = 255
    seen = np.asarray(ours.pixels(Image.fromarray(pixels)), float)[..., 0]
    seen = seen - seen.min()
    rows, columns = np.mgrid[: seen.shape[0], : seen.shape[1]]
    return float((columns * seen).sum() / seen.sum()), float((rows * seen).sum() / seen.sum())


def geometry_error(ours: Any, geometry: Geometry, points: list[tuple[int, int]]) -> float:
    """How far, in source pixels, the geometry is from where marks really come out."""
    worst = 0.0
    for x, y in points:
        across, down = marked(ours, geometry.width, geometry.height, x, y)
        worst = max(worst, abs(geometry.offset_x + geometry.scale_x * across - x))
        worst = max(worst, abs(geometry.offset_y + geometry.scale_y * down - y))
    return worst


GEOMETRIES = [
    (Preprocess(), 500, 375),
    (Preprocess(), 375, 500),
    (Preprocess(resize=(224, 224)), 640, 200),
    (Preprocess(resize=64, crop=(96, 96)), 200, 150),
    (Preprocess(resize=None, crop=(224, 224)), 181, 300),
    (Preprocess(resize=225, crop=(224, 224)), 225, 333),
    (Preprocess(resize=(100, 50), crop=None), 300, 300),
]


@pytest.mark.parametrize(("ours", "width", "height"), GEOMETRIES)
def test_geometry_is_where_marks_come_out(ours: Preprocess, width: int, height: int) -> None:
    centre_x, centre_y = width // 2, height // 2
    points = [(centre_x, centre_y), (centre_x - 30, centre_y + 20), (centre_x + 45, centre_y - 35)]
    assert geometry_error(ours, ours.geometry(width, height), points) < 0.3


def test_geometry_by_hand() -> None:
    # 400 × 300 → 341 × 256, crop 224: left = round(58.5) = 58 (to even), top = 16.
    found = Preprocess().geometry(400, 300)
    assert (found.scale_x, found.scale_y) == (400 / 341, 300 / 256)
    assert found.offset_x == pytest.approx(58.5 * 400 / 341 - 0.5)
    assert found.offset_y == pytest.approx(16.5 * 300 / 256 - 0.5)
    # 10 × 10, kept as it is and padded to 15: two black pixels before, three after.
    assert Preprocess(resize=None, crop=(15, 15)).geometry(10, 10).offset_x == -2


def test_mutant_a_geometry_off_by_half_a_pixel_is_seen() -> None:
    ours = Preprocess()
    found = ours.geometry(500, 375)
    off = Geometry(
        scale_y=found.scale_y,
        scale_x=found.scale_x,
        offset_y=found.offset_y + 0.5,
        offset_x=found.offset_x,
        height=375,
        width=500,
    )
    assert geometry_error(ours, off, [(250, 187)]) > 0.3


def test_fingerprints_tell_preprocessings_apart() -> None:
    each = [
        Preprocess(),
        Preprocess(resize=257),
        Preprocess(interpolation="bicubic"),
        Preprocess(std=(0.229, 0.224, 0.2251)),
    ]
    assert len({ours.fingerprint() for ours in each}) == 4
    assert Preprocess().fingerprint() == Preprocess(resize=256).fingerprint()
    assert json.loads(Preprocess().fingerprint())["crop"] == [224, 224]


def test_reading_images_and_geometry_load_no_torch() -> None:
    script = (
        "import sys; from storage.models import Preprocess; from storage.images import decode, listing, sources, shards;"
        "Preprocess().geometry(3, 4); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_fingerprint_tells_the_preprocessing() -> None:
    for one in (Preprocess(), Preprocess(resize=(30, 40), crop=None, interpolation="bicubic", mean=(0.5,), std=(0.2,))):
        assert from_fingerprint(one.fingerprint()) == one


@dataclass(frozen=True, kw_only=True)
class Brightened(Preprocess):
    gamma: float = 2.2


def test_a_fingerprint_tells_the_fields_of_a_subclass_too() -> None:
    """Readers without the subclass use the rest."""
    assert Brightened(gamma=1.8).fingerprint() != Brightened().fingerprint()
    assert from_fingerprint(Brightened(resize=99).fingerprint()) == Preprocess(resize=99)
