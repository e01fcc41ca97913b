"""Start a run on the chosen engine, or estimate what it would take."""

from __future__ import annotations

from pathlib import Path

from flows import progress
from flows.config import RunConfig
from flows.cores import share_cores
from flows.pipeline.answers import RunEstimate, RunSummary
from storage.errors import UsageError
from storage.store.store import Store

ENGINES = ("prefect", "inline")


def run(config: RunConfig, *, engine: str = "prefect", wait: bool = False, dask: str | None = None) -> RunSummary:
    """Run the pipeline; return its summary as a plain dict, with the paths of the overview pictures.

    A run that finds all its results in the store publishes them without a Prefect server of its own, which costs more.
    """
    check(engine, dask)
    if engine == "prefect":
        return _run_prefect(config, wait, dask)
    if dask is not None:
        _check_device(dask, config)
    return _run_inline(config, wait, dask)


def _run_prefect(config: RunConfig, wait: bool, dask: str | None) -> RunSummary:
    from flows.scheduling import named_server

    needs_server = named_server.address() is None
    may_be_stored = needs_server and dask is None and Store(Path(config.store)).versions(config.run_name)
    if needs_server and not may_be_stored:
        _check_prefect()
    if dask is not None:
        _check_device(dask, config)
    if not may_be_stored:
        _check_run(config, here=dask is None)
    elif (summary := _publish_stored(config, wait)) is not None:
        return summary
    from flows.scheduling import prefect_flow

    return prefect_flow.run(config, wait=wait, dask=dask)


def _check_prefect() -> None:
    """Raise ServerUnreachable if Prefect's folder or database cannot be used, before torch is loaded."""
    from flows.scheduling import prefect_home

    prefect_home.check()


def _check_run(config: RunConfig, *, here: bool) -> None:
    from flows.pipeline import run as pipeline

    share_cores()
    pipeline.check(config, here=here)


def _publish_stored(config: RunConfig, wait: bool) -> RunSummary | None:
    """Publish a run whose results are all there; None if something is to be computed."""
    from flows.pipeline import run as pipeline
    from flows.pipeline import summary
    from flows.pipeline.engines import SomethingToCompute, Stored

    share_cores()
    try:
        return summary.with_overviews(config, pipeline.run(config, Stored(), wait=wait))
    except SomethingToCompute as missing:
        progress.current().say(f"{missing} has to be computed")
        return None


def check(engine: str, dask: str | None) -> None:
    """Raise UsageError if the engine is unknown or the cluster is not well written."""
    if engine not in ENGINES:
        raise UsageError(f"--engine is {engine!r}; it is {' or '.join(ENGINES)}")
    if dask is not None:
        from flows.cluster import engine as cluster_engine

        cluster_engine.processes_of(dask)


def _check_device(dask: str, config: RunConfig) -> None:
    from flows.cluster import engine as cluster_engine

    cluster_engine.check_device(dask, config)


def estimate(config: RunConfig) -> RunEstimate:
    """Return what a run would compute and reuse, and what that would take; write nothing into the store."""
    from flows.dry_run import estimate as estimates

    share_cores()
    return estimates.estimate(config)


def _run_inline(config: RunConfig, wait: bool, dask: str | None) -> RunSummary:
    from flows.pipeline import run as pipeline
    from flows.pipeline import summary
    from flows.pipeline.engines import Inline

    share_cores()
    if dask is None:
        return summary.with_overviews(config, pipeline.run(config, Inline(), wait=wait))
    from flows.cluster import engine as cluster_engine

    with cluster_engine.on(dask, config.store) as cluster:
        done = pipeline.run(cluster.resolve_device(config), cluster, wait=wait)
    return summary.with_overviews(config, done)
