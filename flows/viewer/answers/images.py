"""The images of a run: one of them, a search, and those that could not be used."""

from __future__ import annotations

from collections import defaultdict
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import TypedDict

from flows.questions import accuracy
from flows.viewer.answers.open_runs import OpenVersion
from storage.errors import NotFound
from storage.run import Run

MOST_REJECTS, PAGE = 200, 60


class ImageFacts(TypedDict):
    """An image: its key in the source, label and size in pixels; `reason` says why it could not be used.

    `choices` are the model's first classes where the run has them, and `label_rank` the place of its label among them.
    """

    image_id: int
    key: str
    label: str | None
    width: int | None
    height: int | None
    reason: str | None
    choices: list[StoredChoice]
    label_rank: int | None


class StoredChoice(TypedDict):
    """One of the model's first classes of an image; a single score gives no probability."""

    index: int
    name: str
    probability: float | None


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


FACTS = [name for name in ImageFacts.__annotations__ if name not in ("choices", "label_rank")]


def one(version: OpenVersion, id: int) -> ImageFacts:
    """Return an image's key, label and size. Raises NotFound."""
    run = version.run
    if not 0 <= id < run.version.about["ids"]:
        raise NotFound(f"{run.name} has no image {id}; its ids are 0 to {run.version.about['ids'] - 1}")
    rows = _facts(version, [id])
    if not rows:
        raise NotFound(f"image {id} is not among those of {run.name}: it was taken out of the source, or is not chosen")
    return rows[id]


def many(version: OpenVersion, start: int, count: int) -> dict[int, ImageFacts]:
    """Return the facts of `count` images from id `start` on, by id."""
    last = min(start + count, version.run.version.about["ids"])
    return _facts(version, list(range(start, last)))


def _facts(version: OpenVersion, ids: list[int]) -> dict[int, ImageFacts]:
    run = version.run
    choices = _choices(run, ids) if run.has("choices") else {}
    facts: dict[int, ImageFacts] = {}
    for row in run.images(ids).select(FACTS).to_pylist():
        first = choices.get(row["image_id"], [])
        place = accuracy.label_rank(run, row["label"], [choice["index"] for choice in first])
        facts[row["image_id"]] = cast(ImageFacts, row | {"choices": first, "label_rank": place})
    return facts


def _choices(run: Run, ids: list[int]) -> dict[int, list[StoredChoice]]:
    names, choices = run.model["classes"], defaultdict[int, list[StoredChoice]](list)
    for row in run.choices(ids).to_pylist():
        number = row["class"]
        name = names[number] if number < len(names) else str(number)
        choices[row["image_id"]].append({"index": number, "name": name, "probability": row["probability"]})
    return choices


def right(version: OpenVersion) -> accuracy.Accuracy | None:
    """Return how often the model's first classes are the images' labels; None where the run does not say."""
    return version.keep(("accuracy",), lambda: accuracy.of_run(version.run))


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
