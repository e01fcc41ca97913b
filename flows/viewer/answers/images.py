"""The images of a run: one of them, a search, and those that could not be used."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import TypedDict

from flows.viewer.answers.open_runs import OpenVersion
from storage.errors import NotFound

MOST_REJECTS, PAGE = 200, 60


class ImageFacts(TypedDict):
    """An image: its key in the source, label and size in pixels; `reason` says why it could not be used."""

    image_id: int
    key: str
    label: str | None
    width: int | None
    height: int | None
    reason: str | None


class ImageRow(TypedDict):
    """An image in a list."""

    image_id: int
    key: str
    label: str | None


class ImageList(TypedDict):
    """How many images match a text, and sixty of them from `start` on."""

    images: int
    start: int
    found: list[ImageRow]


class Reject(TypedDict):
    """An image that could not be used."""

    image_id: int
    key: str
    reason: str


class Rejects(TypedDict):
    """How many images could not be used, and the first two hundred."""

    images: int
    first: list[Reject]


FACTS = list(ImageFacts.__annotations__)


def one(version: OpenVersion, id: int) -> ImageFacts:
    """Return an image's key, label and size. Raises NotFound."""
    run = version.run
    if not 0 <= id < run.version.about["ids"]:
        raise NotFound(f"{run.name} has no image {id}; its ids are 0 to {run.version.about['ids'] - 1}")
    rows = run.images([id]).select(FACTS).to_pylist()
    if not rows:
        raise NotFound(f"image {id} is not among those of {run.name}: it was taken out of the source, or is not chosen")
    facts: ImageFacts = rows[0]
    return facts


def many(version: OpenVersion, start: int, count: int) -> dict[int, ImageFacts]:
    """Return the facts of `count` images from id `start` on, by id."""
    last = min(start + count, version.run.version.about["ids"])
    rows = version.run.images(list(range(start, last))).select(FACTS).to_pylist()
    return {row["image_id"]: row for row in rows}


def search(version: OpenVersion, start: int, text: str) -> ImageList:
    """Count the images with every word of a text in their key or label, and return sixty of them from `start` on."""
    table = version.keep(("keys",), lambda: _usable(version))
    for word in text.split():
        options = pc.MatchSubstringOptions(word, ignore_case=True)
        matches = [pc.fill_null(pc.match_substring(table[name], options=options), False) for name in ("key", "label")]
        table = table.filter(pc.or_(*matches))
    return {"images": len(table), "start": start, "found": table.slice(start, PAGE).to_pylist()}


def _usable(version: OpenVersion) -> pa.Table:
    table = version.run.images()
    return table.filter(pc.is_null(table["reason"])).select(["image_id", "key", "label"])


def rejects(version: OpenVersion) -> Rejects:
    """Return the first two hundred images that could not be used, with the reason of each."""
    if not version.run.has("images"):
        return {"images": 0, "first": []}
    table = version.run.rejects()
    keys = {row["image_id"]: row["key"] for row in version.run.images().select(["image_id", "key"]).to_pylist()}
    first: list[Reject] = [
        {"image_id": row["image_id"], "key": keys.get(row["image_id"], ""), "reason": row["reason"]}
        for row in table.slice(0, MOST_REJECTS).to_pylist()
    ]
    return {"images": len(table), "first": first}
