"""What the page says of a run: what it is made of, what it has, and the commands that make the rest."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flows.config import EXTRAS
from flows.questions import runs
from flows.viewer.answers import reproduce
from flows.viewer.answers.open_runs import OpenVersion
from storage.artefacts.pictures import TILE
from storage.errors import Damaged
from storage.run import Run
from storage.store.store import Entry

THUMBNAIL = 8
"""The level of a pyramid that is one tile: at most 2^8 = 256 pixels."""


def about(version: OpenVersion, numbers: list[int]) -> dict[str, Any]:
    """Return provenance, layers, what each of them has, and commands."""
    run = version.run
    return runs.show_run(run) | {
        "tag": version.tag,
        "address": version.address,
        "versions": numbers,
        "published": runs.published(run),
        "fingerprints": _fingerprints(version),
        "history": _history(run),
        "labels": len(set(labels(version)) - {""}),
        "ids": run.version.about["ids"],
        "classes": len(run.model["classes"]) if run.has("model") else 0,
        "input": run.model["input"] if run.has("model") else None,
        "layers": [_layer(version, index, name) for index, name in enumerate(version.layers)],
        "missing": {stage: reproduce.run_command(run, (stage,)) for stage in EXTRAS if not _has_any(run, stage)},
        "commands": _commands(run),
        "settings": reproduce.settings_only_in_file(run),
        "cite": _cite(run),
    }


def _fingerprints(version: OpenVersion) -> dict[str, str]:
    """Return by layer the hash of all weights that it depends on, and of the way images are prepared."""
    known = version.run.model["fingerprints"] if version.run.has("model") else {}
    return {name: known[name] for name in version.layers if name in known}


def _history(run: Run) -> list[dict[str, Any]]:
    """Return the run's versions, the latest first, with what of them there is to say."""
    found = []
    for number in reversed(run.store.versions(run.name)):
        version = run.store.version(run.name, number)
        weights = version.about["config"].get("weights")
        told = {"version": number, "published": runs.published(Run(run.store, version)), "weights": weights}
        found.append(told | {"images": version.about["listed"]})
    return found


def libraries(version: OpenVersion) -> dict[str, Any]:
    """Return the versions of each library that the run's results were made with, and how many do not say."""

    def read() -> dict[str, Any]:
        installed: dict[str, set[str]] = {}
        records = [_libraries_of(version.run, entry) for entry in version.run.version.stages]
        for name, number in (item for record in records for item in record.items()):
            installed.setdefault(name, set()).add(number)
        versions = {name: sorted(numbers) for name, numbers in sorted(installed.items())}
        return {"versions": versions, "results": len(records), "unrecorded": sum(not record for record in records)}

    return version.keep(("libraries",), read)


def _libraries_of(run: Run, entry: Entry) -> dict[str, str]:
    try:
        return dict(run.store.get(entry.stage, entry.key, entry.manifest).happened().get("libraries", {}))
    except Damaged:
        return {}


def labels(version: OpenVersion) -> list[str]:
    """Return the label of every image, by its id."""
    run = version.run

    def read() -> list[str]:
        from storage.artefacts import tables

        return ["" if label is None else str(label) for label in _column(tables, run)]

    return version.keep(("labels",), read)


def _column(tables: Any, run: Run) -> list[Any]:
    if not run.has("labels"):
        return []
    return list(tables.read_table(run.result("labels").file("labels.parquet"), ["label"])["label"].to_pylist())


def _layer(version: OpenVersion, index: int, name: str) -> dict[str, Any]:
    run = version.run
    known = next(layer for layer in run.model["layers"] if layer["name"] == name)
    return {
        "name": name,
        "index": index,
        "units": known["units"],
        "height": known["height"],
        "width": known["width"],
        "focus": run.field(name).focus if run.has("field", name) else None,
        "grids": [grid_facts(version, name, grid) for grid in run.grids if run.has("cells", name, grid)],
        "has": [stage for stage in ("patches", "gradients", "gallery", "influence") if run.has(stage, name)],
    }


def grid_facts(version: OpenVersion, layer: str, grid: int) -> dict[str, Any]:
    """Return how many cells a grid has and what its tiles are like."""
    run = version.run
    counts = run.result("cells", layer, grid).counts
    return {
        "grid": grid,
        "cells": counts["cells"],
        "samples": counts["samples"],
        "icon": version.icon_side(layer, grid),
        "tile": TILE,
        "has": [stage for stage in ("icons", "tiles", "members", "attribution") if run.has(stage, layer, grid)],
    }


def _has_any(run: Run, stage: str) -> bool:
    return any(entry.stage == stage for entry in run.version.stages)


def _commands(run: Run) -> dict[str, str]:
    here = f"{run.name}@{run.number}"
    return {
        "run": reproduce.run_command(run),
        "view": f"actlas view {here}",
        "export": f"actlas export {here} {run.name}-atlas",
        "verify": f"actlas verify {run.name}",
    }


def _cite(run: Run) -> dict[str, str]:
    about, counted = run.version.about, Counter(run.version.about["rejected"])
    made = _libraries_of(run, run.version.stages[0]).get("actlas")
    used = about["listed"] - sum(counted.values())
    return {
        "text": (
            f"Activation atlas {run.name}@{run.number} (sha256 {run.version.sha256[:16]}) of {about['model']}, "
            f"{used:,} images{f', made with actlas {made}' if made else ', made with actlas'}."
        ),
        "method": (
            "Carter, Armstrong, Schubert, Johnson & Olah (2019). Activation Atlas. Distill. "
            "https://doi.org/10.23915/distill.00015"
        ),
    }
