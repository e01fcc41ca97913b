"""A run's version: provenance, layers, libraries, and the commands that make it and what it lacks."""

from __future__ import annotations

from typing import Any, cast

from typing_extensions import TypedDict

from atlas.attribution.methods import METHODS
from flows import registry
from flows.questions import runs
from flows.viewer.answers import reproduce
from flows.viewer.answers.open_runs import OpenVersion
from storage.artefacts.pictures import TILE
from storage.run import Run
from storage.store.store import Entry


class GridFacts(TypedDict):
    """One grid of a layer; `icon` and `tile` are sides in pixels, `has` the stages it has."""

    grid: int
    cells: int
    samples: int
    icon: int
    tile: int
    has: list[str]


class LayerFacts(TypedDict):
    """One layer; `focus` is the side of its focus in pixels of the model's input, `has` the stages it has."""

    name: str
    index: int
    units: int
    height: int
    width: int
    focus: float | None
    grids: list[GridFacts]
    has: list[str]


class Published(TypedDict):
    """One version in a run's history."""

    version: int
    published: str
    weights: str | None
    images: int


class SaliencyMethod(TypedDict):
    """A saliency method; the numbers of a `signed` one are shares of the score, for it or against it.

    One that `refines` averages over passes: a map of few of them is a first one.
    """

    name: str
    title: str
    sentence: str
    signed: bool
    refines: bool


class VersionFacts(runs.Provenance):
    """A version of a run: provenance, layers, commands. `missing` is the command that makes each extra it lacks.

    `everything` is the command that makes all of these, null where it lacks none. `select` is the command of an atlas of some
    of its samples, without its question and its name. `store` is the store's absolute path, in exported files what stands
    for it.
    """

    tag: str
    address: str
    versions: list[int]
    published: str
    fingerprints: dict[str, str]
    history: list[Published]
    labels: int
    classes: int
    input: list[int] | None
    layers: list[LayerFacts]
    missing: dict[str, str]
    everything: str | None
    commands: dict[str, str]
    select: str
    store: str
    settings: dict[str, Any]
    cite: dict[str, str]
    saliency: list[SaliencyMethod]


class About(VersionFacts):
    """A version of a run: provenance, layers, commands, and whether the server takes uploads."""

    uploads: bool


class Libraries(TypedDict):
    """The versions of each library that made the run's results; `unrecorded` results do not say."""

    versions: dict[str, list[str]]
    results: int
    unrecorded: int


def about(version: OpenVersion, numbers: list[int], store: str | None = None) -> VersionFacts:
    """Return provenance, layers with the stages of each, and commands; `numbers` are the run's versions.

    `store` stands for the store's path in commands.
    """
    run = version.run
    store = store or reproduce.store_of(run)
    missing = [
        stage for stage in reproduce.possible_extras(run) if not (registry.stage(stage).apart or _has_any(run, stage))
    ]
    facts = {
        **runs.show_run(run),
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
        "missing": {stage: reproduce.run_command(run, store, (stage,)) for stage in missing},
        "everything": reproduce.run_command(run, store, (registry.EVERYTHING,)) if missing else None,
        "commands": reproduce.commands(run, store),
        "select": reproduce.select_command(run, store),
        "store": store,
        "settings": reproduce.settings_only_in_file(run),
        "cite": _cite(run),
        "saliency": saliency_methods(),
    }
    return cast(VersionFacts, facts)


def saliency_methods() -> list[SaliencyMethod]:
    """Return the saliency methods that an image can be explained by, in the order to list them."""
    return [
        {
            "name": row.name,
            "title": row.title,
            "sentence": row.sentence,
            "signed": row.signed,
            "refines": bool({"samples", "steps"} & set(row.settings)),
        }
        for row in METHODS.values()
    ]


def _fingerprints(version: OpenVersion) -> dict[str, str]:
    """Return, by layer, the hash of the weights it depends on and of the preprocessing."""
    stored = version.run.model["fingerprints"] if version.run.has("model") else {}
    return {name: stored[name] for name in version.layers if name in stored}


def _history(run: Run) -> list[Published]:
    """Return the run's versions, latest first."""
    history: list[Published] = []
    for number in reversed(run.store.versions(run.name)):
        version = run.store.version(run.name, number)
        weights = version.about["config"].get("weights")
        published = runs.published(Run(run.store, version))
        history.append(
            {"version": number, "published": published, "weights": weights, "images": version.about["listed"]}
        )
    return history


def libraries(version: OpenVersion) -> Libraries:
    """Return the versions of each library that made the run's results, and how many results do not record them."""

    def read() -> Libraries:
        installed: dict[str, set[str]] = {}
        records = [_libraries_of(version.run, entry) for entry in version.run.version.stages]
        for name, number in (item for record in records for item in record.items()):
            installed.setdefault(name, set()).add(number)
        versions = {name: sorted(numbers) for name, numbers in sorted(installed.items())}
        return {"versions": versions, "results": len(records), "unrecorded": sum(not record for record in records)}

    return version.keep(("libraries",), read)


def _libraries_of(run: Run, entry: Entry) -> dict[str, str]:
    return dict(run.store.get(entry.stage, entry.key, entry.manifest).happened().get("libraries", {}))


def labels(version: OpenVersion) -> list[str]:
    """Return each image's label, by image id; "" for none."""

    def read() -> list[str]:
        return ["" if label is None else str(label) for label in _stored_labels(version.run)]

    return version.keep(("labels",), read)


def _stored_labels(run: Run) -> list[Any]:
    from storage.artefacts import tables

    if not run.has("labels"):
        return []
    return list(tables.read_table(run.result("labels").file("labels.parquet"), ["label"])["label"].to_pylist())


def _layer(version: OpenVersion, index: int, name: str) -> LayerFacts:
    run = version.run
    layer = next(record for record in run.model["layers"] if record["name"] == name)
    return {
        "name": name,
        "index": index,
        "units": layer["units"],
        "height": layer["height"],
        "width": layer["width"],
        "focus": run.field(name).focus if run.has("field", name) else None,
        "grids": [grid_facts(version, name, grid) for grid in run.grids if run.has("cells", name, grid)],
        "has": _stages(run, "layer", name),
    }


def grid_facts(version: OpenVersion, layer: str, grid: int) -> GridFacts:
    """Return a grid's number of cells and samples, the size of its icons and tiles, and its stages."""
    run = version.run
    counts = run.result("cells", layer, grid).counts
    return {
        "grid": grid,
        "cells": counts["cells"],
        "samples": counts["samples"],
        "icon": version.icon_side(layer, grid),
        "tile": TILE,
        "has": _stages(run, "layer and grid", layer, grid),
    }


def _stages(run: Run, per: str, layer: str, *grid: int) -> list[str]:
    """Return the stages that a run has of a layer, or of one of its grids."""
    names = [stage.name for stage in registry.STAGES if stage.per == per and not stage.on_demand]
    return [name for name in names if run.has(name, layer, *grid)]


def _has_any(run: Run, stage: str) -> bool:
    return any(entry.stage == stage for entry in run.version.stages)


def _cite(run: Run) -> dict[str, str]:
    about, release = run.version.about, _libraries_of(run, run.version.stages[0]).get("actlas")
    used = about["listed"] - sum(about["rejected"].values())
    return {
        "text": (
            f"Activation atlas {run.name}@{run.number} (sha256 {run.version.sha256[:16]}) of {about['model']}, "
            f"{used:,} images, made with actlas{f' {release}' if release else ''}."
        ),
        "method": (
            "Carter, Armstrong, Schubert, Johnson & Olah (2019). Activation Atlas. Distill. "
            "https://doi.org/10.23915/distill.00015"
        ),
    }
