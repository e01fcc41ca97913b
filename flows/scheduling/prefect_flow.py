"""Run the pipeline as Prefect flows: each shard and stage is a task with retries, and a report shows the results.

Prefect schedules and displays; the store decides what is done. Tasks take and return names of results, so Prefect's
database stays small. Without PREFECT_API_URL, a run of the command line has a server of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import httpx
import prefect
from prefect import flow
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed, Failed
from prefect.tasks import Task as PrefectTask
from prefect.tasks import exponential_backoff

from flows import cores, progress, registry
from flows.config import RunConfig
from flows.pipeline import model_updates
from flows.pipeline import run as pipeline
from flows.pipeline import summary as summaries
from flows.pipeline.answers import RunSummary
from flows.pipeline.model_updates import Superseded, Update
from flows.pipeline.retry import is_transient
from flows.planning.tasks import Outcome, Output, Task
from flows.scheduling import named_server, temporary_server, without_proxy
from flows.scheduling.run_report import Logged, RunReport, headline
from flows.scheduling.states import PARTLY_REJECTED, SKIPPED, ServerUnreachable, gpu_tags
from flows.stages.shared.execute import execute
from storage import addresses, masking
from storage.errors import ActlasError, Locked, first_line

SERVER = re.compile(r"\bPrefect\b|reach API|available port")
"""Matches Prefect's own RuntimeErrors about its server, and not CUDA's, which mention "API calls" as well."""

_published: list[RunSummary] = []
"""The summary that the flow of this process published: it is returned even if the server is lost."""


def run(config: RunConfig, *, wait: bool = False, dask: str | None = None) -> RunSummary:
    """Run the flow in this process and return its summary.

    Raises what the pipeline raises, and ServerUnreachable if the server could not be reached before anything was published.
    """
    _published.clear()
    try:
        with without_proxy.to(address) if (address := named_server.address()) else temporary_server.running():
            return _run_here(config, wait, dask)
    except (RuntimeError, httpx.HTTPError) as error:
        # Prefect failed to reach or start its server; errors of the pipeline are ActlasErrors, or bugs.
        if not ("prefect" in type(error).__module__ or isinstance(error, httpx.HTTPError) or SERVER.search(str(error))):
            raise
        reason = first_line(error)
        if _published:
            progress.current().say(f"Prefect's server was lost ({reason}); the version is published anyway")
            return _published[0]
        inline = "use `actlas run --engine inline`, which needs none"
        raise ServerUnreachable(
            f"Prefect's server at {address} cannot be reached ({reason}); check PREFECT_API_URL, or {inline}"
            if (address := named_server.address())
            else f"Prefect's server for this run was lost ({reason}); run again, or {inline}"
        ) from None


def _run_here(config: RunConfig, wait: bool, dask: str | None) -> RunSummary:
    state: State[Any] = activation_atlas(config, wait, dask=dask, return_state=True)
    if state.name == SKIPPED:
        raise Locked(state.message)
    summary: RunSummary = state.result()
    return summary


async def _is_transient(_task: PrefectTask[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether to retry a failed attempt: only after transient failures."""
    return is_transient(await state.aresult(raise_on_failure=False))


@prefect.task(
    retries=2,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_condition_fn=_is_transient,
    cache_policy=NO_CACHE,
    persist_result=False,
    log_prints=False,
)
def perform(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a task, given and returned as plain values."""
    outcomes = execute(Task(**(task | {"outputs": tuple(Output(**output) for output in task["outputs"])})))
    return [asdict(outcome) for outcome in outcomes]


class PrefectEngine:
    """Run each task as a Prefect task, one after the other: one machine, one model."""

    here = True

    def __init__(self, report: RunReport, tags: Iterable[str] = ()) -> None:
        self.report, self.tags = report, list(tags)

    def run(self, tasks: Iterable[Task]) -> list[Outcome]:
        tasks = list(tasks)
        outcomes: list[Outcome] = []
        if not tasks:
            return outcomes
        artifact = self.report.start(tasks[0].stage)
        for number, task in enumerate(tasks, 1):
            tags = self.tags if registry.stage(task.stage).gpu else []
            run_task = perform.with_options(name=task.stage, task_run_name=_title(task), tags=tags)
            for row in run_task(asdict(task)):
                outcomes.append(Outcome(**(row | {"output": Output(**row["output"])})))
            self.report.advance(artifact, number, len(tasks))
        return outcomes


@flow(name="actlas", flow_run_name="{config.run_name}", persist_result=False, validate_parameters=True)
def activation_atlas(
    config: RunConfig, wait: bool = False, follow_updates: bool = False, dask: str | None = None
) -> State[Any]:
    """List images, collect shards, merge the strongest patches, lay out, average cells, invert, tile, and publish.

    Args:
        config: what to run, and how
        wait: wait for another process that writes this run; otherwise leave, in the state Skipped
        follow_updates: use the weights announced last, or else those of the run's current version
        dask: local:N for N worker processes, or tcp://HOST:PORT of a Dask scheduler
    """
    settings = {"settle": model_updates.follow} if follow_updates else {}
    return _carry_out(lambda: config, wait, dask, **settings)


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
    """Repeat a run after a model update: only what the new weights can reach is computed.

    Args:
        name: the run, made with the settings of its current version
        weights: safetensors or state dict, at a path that the machine of the run sees
        sha256: fingerprint of the file when it was announced
        announced: when that was, by default now; a run whose published weights were announced later is left as it is, in
            the state Skipped, and if a later announcement waits in the store, its weights are used
        store: the folder that keeps all results
        wait: wait for another process that writes this run; otherwise leave, in the state Skipped
        dask: local:N for N worker processes, or tcp://HOST:PORT of a Dask scheduler
    """

    announced = announced or model_updates.now()

    def stored() -> RunConfig:
        for option, value in (("--store", store), ("--weights", weights)):
            addresses.check(option, value)
        config = model_updates.stored_config(store, name, weights=weights)
        if sha256:  # also of an announcement from a machine that has not the store
            model_updates.keep(store, Update(name=name, weights=weights, sha256=sha256, announced=announced))
        return config

    def settle(config: RunConfig) -> RunConfig:
        updated = model_updates.regeneration(store, name, weights=weights, sha256=sha256, announced=announced)
        return updated.model_copy(update={"device": config.device})  # the engine was set up for this device

    return _carry_out(stored, wait, dask, settle=settle, announced=announced)


def _carry_out(read: Callable[[], RunConfig], wait: bool, dask: str | None, **settings: Any) -> State[Any]:
    """Run the pipeline and return the flow's final state; that of an error of ours has its one line as message.

    `settings` are passed to pipeline.run.
    """
    cores.share_cores()
    with _reporting(), RunReport() as report:
        try:
            config = read()
            summary = summaries.with_overviews(config, _run(config, report, dask, wait=wait, **settings))
        except (Locked, Superseded) as held:
            progress.current().say(str(held))
            return Completed(name=SKIPPED, message=str(held))
        except (ActlasError, OSError) as error:
            return Failed(message=masking.masked(first_line(error)), data=error)
        _published.append(summary)
        report.show(summary)
        state: State[Any] = Completed(message=headline(summary), data=summary)
        return state.model_copy(update={"name": PARTLY_REJECTED}) if summary["rejected"] else state


def _run(config: RunConfig, report: RunReport, dask: str | None, **settings: Any) -> summaries.Summary:
    if dask is None:
        return pipeline.run(config, PrefectEngine(report, gpu_tags(config)), **settings)
    from flows.scheduling import on_cluster

    return on_cluster.run(config, report, dask, **settings)


def _reporting() -> AbstractContextManager[object]:
    """Send progress to the flow run's log, unless this process shows it already."""
    return progress.reporting(Logged()) if type(progress.current()) is progress.Quiet else nullcontext()


def _title(task: Task) -> str:
    first = task.outputs[0]
    return (
        first.title
        if len(task.outputs) == 1
        else f"{task.stage} {first.shard if first.shard is not None else ''}".strip()
    )
