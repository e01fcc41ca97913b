"""The parts of a class's images: folders, sizes, aspects, borders and watermarks, if they are large enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flows.audit.images import Pictures, distinct
from flows.audit.parts import least_of, parts_of

COUNT, SIDE = 40, 48


def pictures(**columns: list[Any]) -> Pictures:
    """Return random pictures with these columns of the table `images`."""
    rng = np.random.default_rng(0)
    facts = {"key": ["a/1.jpg"] * COUNT, "width": [64] * COUNT, "height": [48] * COUNT} | columns
    rows = [{name: values[i] for name, values in facts.items()} | {"image_id": i} for i in range(COUNT)]
    return Pictures(rows=rows, pixels=rng.integers(0, 256, (COUNT, SIDE, SIDE, 3)).astype(np.uint8))


def named(found: Pictures) -> dict[str, list[int]]:
    return {f"{part.kind} {part.name}": np.flatnonzero(part.members).tolist() for part in parts_of(found)}


def test_images_alike_in_all_have_no_part() -> None:
    assert named(pictures()) == {}


def test_folders_and_sizes_are_parts_if_they_are_large_enough() -> None:
    keys = ["cats/a/1.jpg"] * 12 + ["cats/b/1.jpg"] * 24 + ["cats/c/1.jpg"] * 4
    assert named(pictures(key=keys)) == {"folder cats/b": [*range(12, 36)], "folder cats/a": [*range(12)]}
    widths = [64] * 30 + [96] * 10
    assert named(pictures(width=widths)) == {
        "size 64 × 48": [*range(30)],
        "size 96 × 48": [*range(30, 40)],
        "size more than 3,072 pixels": [*range(30, 40)],
        "aspect wider than 1.33 : 1": [*range(30, 40)],
    }


def test_borders_and_watermarks_are_seen_in_the_pixels() -> None:
    given = pictures()
    given.pixels[:8, :3] = given.pixels[:8, -3:] = 255
    given.pixels[20:35, 30:44, 4:18] = (
        np.random.default_rng(5).integers(0, 2, (7, 7, 1)).repeat(2, 0).repeat(2, 1) * 255
    )
    found = parts_of(given)
    assert [part.kind for part in found] == ["border", "watermark"]
    assert np.flatnonzero(found[0].members).tolist() == [*range(8)]
    assert np.flatnonzero(found[1].members).tolist() == [*range(20, 35)]
    box = found[1].box
    assert box is not None
    assert box["left"] * SIDE < 18
    assert box["right"] * SIDE > 4
    assert found[1].name.endswith("of 48 × 48")


@pytest.mark.parametrize(("images", "least"), [(20, 5), (50, 5), (51, 6), (200, 20)])
def test_a_part_has_a_tenth_and_five(images: int, least: int) -> None:
    assert least_of(images) == least


def test_one_of_near_duplicates_is_kept() -> None:
    given = pictures()
    smooth = given.pixels.reshape(COUNT, 6, 8, 6, 8, 3).mean(axis=(2, 4), keepdims=True)
    given.pixels[:] = np.broadcast_to(smooth, (COUNT, 6, 8, 6, 8, 3)).reshape(given.pixels.shape)
    given.pixels[7] = np.clip(given.pixels[3].astype(int) + 2, 0, 255)
    kept = distinct(given)
    assert kept.ids == [i for i in range(COUNT) if i != 7]
    assert kept.near_duplicates == 1
