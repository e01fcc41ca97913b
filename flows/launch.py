"""Start a run on the engine asked for, and list a model's layers: what the command line calls."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from flows import progress
from flows.config import RunConfig
from flows.cores import cores
from flows.model import prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.artefacts import samples
from storage.errors import UsageError
from storage.store.store import Result, Store

ENGINES = ("prefect", "inline")


def run(config: RunConfig, *, engine: str = "prefect", wait: bool = False, dask: str | None = None) -> dict[str, Any]:
    """Run the pipeline; return its summary as a plain dict, with the paths of the overview pictures."""
    check(engine, dask)
    share_cores()
    if engine == "inline":
        return with_overviews(config, _inline(config, wait, dask))
    pipeline.check(config, here=dask is None)
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    from flows.scheduling import prefect_flow

    return prefect_flow.run(config, wait=wait, dask=dask)


def check(engine: str, dask: str | None) -> None:
    """Raise UsageError if there is no such engine or no such cluster can be."""
    if engine not in ENGINES:
        raise UsageError(f"--engine is {engine!r}; it is {' or '.join(ENGINES)}")
    if dask is not None:
        from flows.cluster import engine as cluster_engine

        cluster_engine.processes_of(dask)


def estimate(config: RunConfig) -> dict[str, Any]:
    """Return what a run would compute and reuse, and what that would take; nothing is written into the store."""
    from flows.dry_run import estimate as estimates

    share_cores()
    return estimates.estimate(config)


def _inline(config: RunConfig, wait: bool, dask: str | None) -> pipeline.Summary:
    if dask is None:
        return pipeline.run(config, Inline(), wait=wait)
    from flows.cluster import engine as cluster_engine

    with cluster_engine.on(dask, config.store) as cluster:
        return pipeline.run(cluster.settled(config), cluster, wait=wait)


def with_overviews(config: RunConfig, summary: pipeline.Summary) -> dict[str, Any]:
    """Return the summary as a dict that also names the run's pictures (layer, grid and path), and counts samples and bytes."""
    store = Store(Path(config.store))
    made = [outcome.make for outcome in summary.outcomes if outcome.make.stage == "tiles"]
    pictures = [
        {
            "layer": make.layer,
            "grid": make.grid,
            "path": str(store.get("tiles", make.key).path / "overview.png"),
        }
        for make in made
    ]
    told = summary.as_dict()
    written = _written(store, summary)
    for row in told["stages"]:
        row["bytes"] = written[row["stage"], row["layer"]]
    return told | {"samples": _samples(store, summary), "overviews": pictures}


def _written(store: Store, summary: pipeline.Summary) -> Counter[tuple[str, str | None]]:
    """Count the bytes of the results that were computed, by stage and layer."""
    found: Counter[tuple[str, str | None]] = Counter()
    for made in [outcome.make for outcome in summary.outcomes if outcome.computed]:
        files = store.get(made.stage, made.key).manifest["files"].values()
        found[made.stage, made.layer] += sum(int(file["bytes"]) for file in files)
    return found


def _samples(store: Store, summary: pipeline.Summary) -> list[dict[str, Any]]:
    """Return, for each layer, how many samples are used, and how many are not since they are not finite."""
    by_layer: dict[str, list[Result]] = {}
    for outcome in summary.outcomes:
        if outcome.make.stage == "collect":
            by_layer.setdefault(str(outcome.make.layer), []).append(store.get("collect", outcome.make.key))
    return [{"layer": layer} | samples.total(results) for layer, results in by_layer.items()]


def share_cores() -> None:
    """Let torch use all cores but no more; decoding threads wait for it, since idle OpenMP threads sleep."""
    import torch

    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    torch.set_num_threads(int(asked) if asked.isdigit() and int(asked) else cores())


def layers(model: str, *, weights: str | None, input_size: int | None, reach: bool) -> list[dict[str, Any]]:
    """Return one row per layer that can be named: units, grid, axes, and reach in rows of the input."""
    from atlas.model import activations, receptive_field

    config = RunConfig(images="", model=model, weights=weights, input_size=input_size)
    progress.current().say(f"model {model}: loading")
    loaded = prepared.load(config)
    sample = prepared.example(loaded)
    found = {layer.name: layer for layer in activations.list_layers(loaded.module, sample)}
    rows = [
        {"layer": layer.name, "units": layer.units, "grid": f"{layer.height} × {layer.width}", "axes": layer.axes}
        for layer in found.values()
    ]
    if reach:
        with progress.current().bar("reach", 1, "passes"):
            measured = receptive_field.reach(loaded.module, found, tuple(sample.shape))
        for row in rows:
            part = measured[str(row["layer"])]
            row["reach"] = f"{int((part.bottom - part.top).max())} × {int((part.right - part.left).max())} px"
    return rows
