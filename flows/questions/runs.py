"""List the runs of a store; describe one version."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from storage.run import Run, open_store
from storage.store.store import Store


def runs(store: str) -> list[dict[str, Any]]:
    """Return a row per run: its versions, images, layers and model."""
    opened = open_store(store)
    rows = []
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
    file, copy = store.places.version(name, number), store.places.copy(name, number)
    moment = (file if file.exists() else copy).stat().st_mtime
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def show_run(run: Run) -> dict[str, Any]:
    """Return a version's provenance and contents, with facts of each layer's samples and layout."""
    stages: Counter[str] = Counter(entry.stage for entry in run.version.stages)
    return {
        "name": run.name,
        "version": run.number,
        "previous": run.version.previous,
        "sha256": run.version.sha256,
        "stages": dict(sorted(stages.items())),
        **run.version.about,
        "samples": {layer: run.sample_counts(layer) for layer in run.layers if run.has("collect", layer)},
        "layouts": {layer: run.layout_record(layer) for layer in run.layers if run.has("layout", layer)},
    }
