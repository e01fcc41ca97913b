"""The same pipeline as Prefect flows: each shard and stage a task with retries, and a page that shows what came out.

Prefect schedules and shows; the store decides what is done. Tasks are given names and give back names, so nothing of
size passes through Prefect's database. Without PREFECT_API_URL, Prefect starts a temporary server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # a failure is one line of ours, not a traceback of theirs
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a worker comes here without passing flows/cli.py

import httpx
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed
from prefect.tasks import Task, exponential_backoff

from flows import launch, progress, stages
from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import model_updates
from flows.pipeline import run as pipeline
from flows.pipeline.engines import may_pass
from flows.pipeline.model_updates import Superseded
from flows.scheduling.run_report import Logged, Page, headline
from flows.stages import GPU_STAGES
from flows.stages.tasks import Make, Outcome, Work
from storage.errors import ActlasError, Locked

GPU_TAG = "actlas-gpu"
"""Tasks that use a GPU carry it, so that a limit on the tag holds for all runs on a server."""

PARTLY_REJECTED, SKIPPED = "PartlyRejected", "Skipped"
"""Names of final states: done without the images that are broken; not done, since another run of the name is under way."""


class ServerUnreachable(ActlasError):
    """Prefect's server does not answer."""


SERVER = re.compile(r"\bPrefect\b|reach API|available port")
"""What Prefect's own RuntimeErrors about its server say. CUDA's speak of "API calls" as well."""

_published: list[dict[str, Any]] = []
"""What the flow of this process has published: known here even if the server can't be told."""


def run(config: RunConfig, *, wait: bool = False, dask: str | None = None) -> dict[str, Any]:
    """Run the flow in this process and return its summary.

    Raises what the pipeline raises, and ServerUnreachable if the server could not be reached before anything was published.
    """
    _published.clear()
    try:
        if not PREFECT_API_URL.value():
            progress.current().say("Prefect: starting a server for this run (PREFECT_API_URL names a standing one)")
        state: State[Any] = activation_atlas(config, wait, dask=dask, return_state=True)
        if state.name == SKIPPED:
            raise Locked(state.message)
        summary: dict[str, Any] = state.result()
        return summary
    except (RuntimeError, httpx.HTTPError) as error:
        # Prefect's own failure to reach or start its server; what the pipeline raises is an ActlasError, or a bug.
        if not ("prefect" in type(error).__module__ or isinstance(error, httpx.HTTPError) or SERVER.search(str(error))):
            raise
        what = str(error).splitlines()[0]
        if _published:
            progress.current().say(f"Prefect's server was lost ({what}); the version is published all the same")
            return _published[0]
        raise ServerUnreachable(
            f"Prefect's server at {address} cannot be reached ({what}); check PREFECT_API_URL, or run with --engine inline"
            if (address := PREFECT_API_URL.value())
            else f"Prefect's server for this run did not start ({what}); run again, or with --engine inline, which needs none"
        ) from None


async def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Say whether an attempt is worth repeating: what may pass, never what can't."""
    return may_pass(await state.aresult(raise_on_failure=False))


@task(
    retries=2,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
    log_prints=False,
)
def perform(work: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the results that a task names."""
    made = stages.execute(Work(**(work | {"makes": tuple(Make(**make) for make in work["makes"])})))
    return [asdict(outcome) for outcome in made]


class PrefectEngine:
    """Run each piece of work as a Prefect task, one after the other: one machine, one model."""

    here = True

    def __init__(self, page: Page, tags: Iterable[str] = ()) -> None:
        self.page, self.tags = page, list(tags)

    def run(self, works: Iterable[Work]) -> list[Outcome]:
        works = list(works)
        outcomes: list[Outcome] = []
        if not works:
            return outcomes
        artifact = self.page.start(works[0].stage)
        for number, work in enumerate(works, 1):
            tags = self.tags if work.stage in GPU_STAGES else []
            called = perform.with_options(name=work.stage, task_run_name=_title(work), tags=tags)
            for made in called(asdict(work)):
                outcomes.append(Outcome(**(made | {"make": Make(**made["make"])})))
            self.page.advance(artifact, number, len(works))
        return outcomes


@flow(name="actlas", flow_run_name="{config.run_name}", persist_result=False, validate_parameters=True)
def activation_atlas(
    config: RunConfig, wait: bool = False, follow_updates: bool = False, dask: str | None = None
) -> State[Any]:
    """List images, collect shards, merge the strongest patches, lay out, average cells, invert, tile, and publish.

    Args:
        config: what to run, and how
        wait: wait for another process that writes this run; otherwise leave, in the state Skipped
        follow_updates: use the weights of the run's current version, as the last model update left them
        dask: local:N for N worker processes, or tcp://HOST:PORT of a Dask scheduler
    """
    settings = {"settle": model_updates.follow} if follow_updates else {}
    return _carry_out(config, wait, dask, **settings)


@flow(name="actlas-regenerate", flow_run_name="{name}", persist_result=False, validate_parameters=True)
def regenerate(
    name: str,
    weights: str,
    sha256: str | None = None,
    announced: str | None = None,
    store: str = "actlas-store",
    wait: bool = True,
    dask: str | None = None,
) -> State[Any]:
    """Make a run anew after a model update: only what the new weights can reach is computed.

    Args:
        name: the run, made with the settings of its current version
        weights: safetensors or state dict, at a path that the machine of the run sees
        sha256: fingerprint of the file when it was announced
        announced: when that was; a run whose published weights were announced later is left as it is, in the state Skipped
        store: the folder that keeps all results
        wait: wait for another process that writes this run; otherwise leave, in the state Skipped
        dask: local:N for N worker processes, or tcp://HOST:PORT of a Dask scheduler
    """

    def settle(config: RunConfig) -> RunConfig:
        made = model_updates.regeneration(store, name, weights=weights, sha256=sha256, announced=announced)
        return made.model_copy(update={"device": config.device})  # the engine was chosen for it

    return _carry_out(
        model_updates.stored_config(store, name, weights=weights), wait, dask, settle=settle, announced=announced
    )


def _carry_out(config: RunConfig, wait: bool, dask: str | None, **settings: Any) -> State[Any]:
    """Run the pipeline and return the flow's final state; failures are raised, and are Prefect's Failed.

    `settings` are further ones of pipeline.run.
    """
    launch.share_cores()
    with _reporting(), Page() as page:
        try:
            summary = launch.with_overviews(config, _run(config, page, dask, wait=wait, **settings))
        except (Locked, Superseded) as held:
            progress.current().say(str(held))
            return Cancelled(name=SKIPPED, message=str(held))
        _published.append(summary)
        page.show(summary)
        state: State[Any] = Completed(message=headline(summary), data=summary)
        return state.model_copy(update={"name": PARTLY_REJECTED}) if summary["rejected"] else state


def _run(config: RunConfig, page: Page, dask: str | None, **settings: Any) -> pipeline.Summary:
    if dask is None:
        return pipeline.run(config, PrefectEngine(page, gpu_tags(config)), **settings)
    from flows.scheduling import on_cluster

    return on_cluster.run(config, page, dask, **settings)


def gpu_tags(config: RunConfig) -> list[str]:
    """Return the tag that a limit on GPUs counts, if the run uses one."""
    return [GPU_TAG] if prepared.device_of(config).type == "cuda" else []


def _reporting() -> AbstractContextManager[object]:
    """Send progress to the flow run's log, unless somebody is watching it on a terminal."""
    return progress.reporting(Logged()) if type(progress.current()) is progress.Quiet else nullcontext()


def _title(work: Work) -> str:
    first = work.makes[0]
    return (
        first.title
        if len(work.makes) == 1
        else f"{work.stage} {first.shard if first.shard is not None else ''}".strip()
    )
