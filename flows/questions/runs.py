"""List the runs of a store; describe one version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NotRequired, cast

from typing_extensions import TypedDict

from storage.images import left_out
from storage.run import Run, open_store
from storage.store.store import Store


class RunRow(TypedDict):
    """The current version of a run; `published` is in ISO 8601, `rejected` counts the images that could not be used."""

    name: str
    version: int
    published: str
    versions: list[int]
    model: str
    images: int
    rejected: int
    layers: list[str]


class SelectedOfLayer(TypedDict):
    """How many samples of a layer are selected, of how many.

    By class: of those that fit the condition, `attributed` counts the ones whose classes are stored, and `unsure` the ones
    that are not selected and might speak for a class as strongly as the weakest selected: only the five strongest classes
    of a sample are stored.
    """

    samples: int
    of: int
    attributed: NotRequired[int]
    unsure: NotRequired[int]


class SelectionRecord(TypedDict):
    """A selection: of which version of which run, by what, with how many images of how many.

    `images_of_units` are those that its units were looked up in: more, where the source is a selection, too.
    """

    of: str
    version: int
    by: dict[str, str | int]
    images: int
    of_images: int
    images_of_units: int
    layers: dict[str, SelectedOfLayer]


class Provenance(TypedDict):
    """How a version was made: its source, model, settings and stages, with samples and layout of each layer.

    `weights` and `frames` are those of models that followed an earlier version; `subset` counts the images that were
    chosen, of how many, and those of each label; `selection` says of which version a run's samples are selected, by what,
    and how many of how many; `varying` says how the model's values for an image vary, where that was allowed; `no_scores` why the
    model has no class scores, if it has none.
    `not_listed` and `not_labelled` count what was left out by reason, `left_out` says the same in words with the remedy;
    `label_keys` are the keys of the label table, and how many of them are images'.
    """

    name: str
    version: int
    previous: str | None
    sha256: str
    stages: dict[str, int]
    images: str
    root: str
    kind: str
    containers: list[str]
    listed: int
    ids: int
    rejected: dict[str, int]
    not_listed: dict[str, int]
    not_labelled: dict[str, int]
    label_keys: dict[str, int]
    left_out: list[str]
    model: str
    grids: list[int]
    config: dict[str, Any]
    weights: NotRequired[dict[str, Any]]
    frames: NotRequired[dict[str, dict[str, Any]]]
    varying: NotRequired[str]
    no_scores: NotRequired[str]
    subset: NotRequired[dict[str, Any]]
    selection: NotRequired[SelectionRecord]
    samples: dict[str, dict[str, int | None]]
    layouts: dict[str, dict[str, Any]]


class RunFacts(Provenance):
    """The same with the names of the layers."""

    layers: list[str]


def runs(store: str) -> list[RunRow]:
    """Return one row per run: its versions, images, layers, model."""
    opened = open_store(store)
    rows: list[RunRow] = []
    for name in opened.names():
        versions = opened.versions(name)
        about = opened.version(name).about
        rows.append(
            {
                "name": name,
                "version": versions[-1],
                "published": _published(opened, name, versions[-1]),
                "versions": versions,
                "model": about["model"],
                "images": about["listed"],
                "rejected": sum(about["rejected"].values()),
                "layers": about["layers"],
            }
        )
    return rows


def published(run: Run) -> str:
    """Return the time at which a version was published, in ISO 8601."""
    return _published(run.store, run.name, run.number)


def _published(store: Store, name: str, number: int) -> str:
    """Return the time of a version's file: versions themselves record no times."""
    return datetime.fromtimestamp(store.published_at(name, number), UTC).isoformat(timespec="seconds")


def _left_out(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a version left out, which it records only where there is something."""
    counts = {name: about.get(name, {}) for name in ("not_listed", "not_labelled", "label_keys")}
    words = [f"not listed: {text}" for text in left_out.words(counts["not_listed"])]
    words += [f"not labelled: {text}" for text in left_out.words(counts["not_labelled"])]
    if subset := about.get("subset"):
        words.append(f"subset: {subset['images']:,} of {subset['of']:,} images are chosen")
    if selection := about.get("selection"):
        words += [
            f"selection: {row['samples']:,} of {row['of']:,} samples of {layer}"
            for layer, row in ((layer, selection["layers"][layer]) for layer in about["layers"])
        ]
    if counts["label_keys"]:
        keys = counts["label_keys"]
        words.append(f"label table: of its {keys['keys']:,} keys {keys['matched']:,} match an image")
    return counts | {"left_out": words}


def show_run(run: Run) -> RunFacts:
    """Return a version's provenance, what it holds, and of each layer how its samples and its layout are."""
    stages: Counter[str] = Counter(entry.stage for entry in run.version.stages)
    facts = {
        "name": run.name,
        "version": run.number,
        "previous": run.version.previous,
        "sha256": run.version.sha256,
        "stages": dict(sorted(stages.items())),
        **_left_out(run.version.about),
        **run.version.about,
        "samples": {layer: run.sample_counts(layer) for layer in run.layers if run.has_samples(layer)},
        "layouts": {layer: run.layout_record(layer) for layer in run.layers if run.has("layout", layer)},
    }
    return cast(RunFacts, facts)


def images_of_units(run: Run) -> int:
    """Return how many images the units were looked up in: of a selection, those that its source's units were."""
    selection = run.version.about.get("selection")
    return int(selection.get("images_of_units", selection["of_images"])) if selection else own_images(run)


def own_images(run: Run) -> int:
    """Return how many images the samples of a run can be from."""
    about = run.version.about
    return int(about["listed"] - sum(about["rejected"].values()))
