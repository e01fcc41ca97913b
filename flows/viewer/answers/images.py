"""What the page shows of images: one of them, and those that could not be used."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.viewer.answers.open_runs import OpenVersion
from storage.errors import NotFound

MOST_REJECTS, TOGETHER = 200, 60
FACTS = ["image_id", "key", "label", "width", "height", "reason"]


def one(version: OpenVersion, id: int) -> dict[str, Any]:
    """Return an image's key, label and size."""
    run = version.run
    if not 0 <= id < run.version.about["ids"]:
        raise NotFound(f"{run.name} has no image {id}; its ids are 0 to {run.version.about['ids'] - 1}")
    rows = run.images([id]).select(FACTS).to_pylist()
    if not rows:
        raise NotFound(f"image {id} was taken out of the source of {run.name}")
    found: dict[str, Any] = rows[0]
    return found


def many(version: OpenVersion, start: int, count: int) -> dict[int, dict[str, Any]]:
    """Return the same of `count` images from an id on, by their ids."""
    last = min(start + count, version.run.version.about["ids"])
    rows = version.run.images(list(range(start, last))).select(FACTS).to_pylist()
    return {row["image_id"]: row for row in rows}


def found(version: OpenVersion, start: int, text: str) -> dict[str, Any]:
    """Return how many images have a text in their key or label, and sixty of them from `start` on."""
    table = version.keep(("keys",), lambda: _usable(version))
    if text:
        asked = pc.MatchSubstringOptions(text, ignore_case=True)
        has = [pc.fill_null(pc.match_substring(table[name], options=asked), False) for name in ("key", "label")]
        table = table.filter(pc.or_(*has))
    return {"images": len(table), "start": start, "found": table.slice(start, TOGETHER).to_pylist()}


def _usable(version: OpenVersion) -> pa.Table:
    table = version.run.images()
    return table.filter(pc.is_null(table["reason"])).select(["image_id", "key", "label"])


def rejects(version: OpenVersion) -> dict[str, Any]:
    """Return the first two hundred images that could not be used, with the reason of each."""
    if not version.run.has("images"):
        return {"images": 0, "first": []}
    table = version.run.rejects()
    keys = {row["image_id"]: row["key"] for row in version.run.images().select(["image_id", "key"]).to_pylist()}
    first = [
        {"image_id": row["image_id"], "key": keys.get(row["image_id"], ""), "reason": row["reason"]}
        for row in table.slice(0, MOST_REJECTS).to_pylist()
    ]
    return {"images": len(table), "first": first}
