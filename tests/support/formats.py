"""Stores kept from earlier formats, and what they answered when they were made."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from flows import cli

KEPT = Path(__file__).parents[1] / "data"
STORE, ANSWERS = "store.tar.xz", "answers.json"
RUN, LAYER, UNIT, GRID = "small@2", "2", "2:3", 2

PLACE = {"layer": LAYER, "grid": GRID}
OF_UNIT = {"layer": LAYER, "unit": 3}

TABLES = (
    "images",
    "patches",
    "units",
    "cells",
    "icons",
    "members",
    "classes",
    "attribution",
    "influence",
    "gallery",
    "rejects",
)


def unpack(name: str, folder: Path) -> Path:
    """Unpack a kept store into a folder, as a checkout would leave it: with neither its times nor empty folders."""
    with tarfile.open(KEPT / name / STORE) as tar:
        tar.extractall(folder / "store", filter="data")
    return folder / "store"


def ask(store: Path, *arguments: str) -> Any:
    """Ask a question of the command line, and return its JSON."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        code = cli.invoke([*arguments, "--store", str(store), "--json"])
    assert code == 0, f"{' '.join(arguments)} leaves with {code}"
    return json.loads(written.getvalue())


def answers(store: Path) -> dict[str, Any]:
    """Return facts that answers must keep whatever else they come to hold: numbers, names and images."""
    unit, shown = ask(store, "unit", RUN, UNIT), ask(store, "runs", "show", RUN)
    compared = ask(store, "compare", "small@1", RUN, "--no-noise")["steps"][0]["layers"]
    return {
        "runs show": {name: shown[name] for name in ("name", "version", "model", "layers", "grids", "sha256")},
        "top": {sign: top(store, RUN, sign) for sign in ("positive", "negative")},
        "cell": cell(store),
        "unit": {"intervals": [part["count"] for part in unit["intervals"]], "labels": unit["labels"]["counts"]},
        "sql": {table: ask(store, "sql", RUN, f"select count(*) n from {table}")[0]["n"] for table in TABLES},
        "compare": {
            row["layer"]: [row["samples"], row["overlap"], round(row["drift"]["median"], 4)] for row in compared
        },
    }


def top(store: Path, run: str, sign: str = "positive") -> list[list[Any]]:
    """Return where the strongest patches of the unit lie, and their values."""
    patches = ask(store, "top", run, UNIT, "--sign", sign)["patches"]
    return [[patch[name] for name in ("rank", "image_id", "y", "x", "value", "label")] for patch in patches]


def cell(store: Path) -> dict[str, Any]:
    """Return the place of the cell with most samples, its count, its members and their labels."""
    query = f"select row, col, count from cells where layer = '{LAYER}' and grid = {GRID} order by count desc, row, col"
    place: dict[str, Any] = ask(store, "sql", RUN, query)[0]
    found = ask(store, "cell", RUN, LAYER, str(GRID), f"{place['row']},{place['col']}")
    members = [[member[name] for name in ("image_id", "y", "x")] for member in found["members"]]
    return place | {"members": members, "labels": found["labels"]}


def addresses(client: TestClient, cell: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Return parameters for every kind of answer and picture of the viewer; what needs the source's images is left out."""
    at = PLACE | {"row": cell["row"], "col": cell["col"]}
    first = client.get("/api/1/runs/small/1").json()
    return {
        "cells": PLACE,
        "details": PLACE,
        "labels": PLACE,
        "tally": PLACE,
        "label": PLACE | {"number": 0},
        "names": PLACE,
        "real_fidelity": PLACE,
        "cell": at,
        "class": PLACE | {"of": "two"},
        "classes": {},
        "units": {"layer": "2"},
        "unit": OF_UNIT,
        "card": OF_UNIT,
        "map": PLACE | {"unit": 3},
        "likeness": OF_UNIT,
        "speaks": {"layer": "2", "of": "two"},
        "moved": {"layer": "2", "since": f"small@{first['tag']}"},
        "image": {"id": 1},
        "images": {"start": 0, "text": ""},
        "accuracy": {},
        "rejects": {},
        "libraries": {},
        "tile": PLACE | {"level": 0, "x": 0, "y": 0},
        "icons": PLACE | {"y": 0, "x": 0},
        "icon": at,
        "faces": {"layer": "2", "block": 0},
        "patch": OF_UNIT | {"sign": "positive", "rank": 0},
        "gradient": OF_UNIT | {"rank": 0},
        "synthetic": OF_UNIT,
        "member": at | {"index": 0},
    }
