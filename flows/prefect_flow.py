"""The same pipeline as a Prefect flow: each shard and stage a task with retries, and artifacts that show what came out.

Prefect schedules and shows; the store decides what is done. Tasks are given names and give back names, so nothing of
size passes through Prefect's database. Without PREFECT_API_URL, Prefect starts a temporary server.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast
from uuid import UUID

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # a failure is one line of ours, not a traceback of theirs

import httpx
from prefect import flow, task
from prefect.artifacts import (
    create_image_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from flows import launch, pipeline, progress, stages
from flows.config import RunConfig
from flows.work import Make, Outcome, Work
from storage.errors import ActlasError, Unreadable

PICTURE = 512
"""Side of the overview in the artifact: it lives in Prefect's database, so it is small."""


class ServerUnreachable(ActlasError):
    """Prefect's server does not answer."""


def run(config: RunConfig, *, wait: bool = False) -> dict[str, Any]:
    """Run the flow in this process and return its summary."""
    try:
        summary: dict[str, Any] = activation_atlas(config, wait)
    except (RuntimeError, httpx.HTTPError) as error:
        # Prefect's own failure to reach or start its server; what the pipeline raises is an ActlasError, or a bug.
        if "prefect" in type(error).__module__ or isinstance(error, httpx.HTTPError) or "API" in str(error):
            raise ServerUnreachable(
                f"Prefect's server cannot be reached ({str(error).splitlines()[0]}); "
                "check PREFECT_API_URL, or run with --engine inline"
            ) from None
        raise
    return summary


async def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Say whether an attempt is worth repeating: what may pass, never what can't."""
    failure = await state.aresult(raise_on_failure=False)
    return isinstance(failure, Unreadable)


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

    def run(self, works: Iterable[Work]) -> list[Outcome]:
        works = list(works)
        outcomes: list[Outcome] = []
        if not works:
            return outcomes
        artifact = cast(UUID, create_progress_artifact(progress=0.0, description=works[0].stage))
        for number, work in enumerate(works, 1):
            for made in perform.with_options(name=work.stage, task_run_name=_title(work))(asdict(work)):
                outcomes.append(Outcome(**(made | {"make": Make(**made["make"])})))
            update_progress_artifact(artifact_id=artifact, progress=100 * number / len(works))
        return outcomes


@flow(name="actlas", flow_run_name="{config.run_name}", persist_result=False, validate_parameters=True)
def activation_atlas(config: RunConfig, wait: bool = False) -> dict[str, Any]:
    """List images, collect shards, merge the strongest patches, lay out, average cells, invert, tile, and publish."""
    summary = launch.with_overviews(config, pipeline.run(config, PrefectEngine(), wait=wait))
    try:
        _show(summary)
    except Exception as error:  # the version is published: a picture that cannot be shown does not undo that
        progress.current().say(f"Prefect did not take the artifacts: {error}")
    return summary


def _title(work: Work) -> str:
    first = work.makes[0]
    return (
        first.title
        if len(work.makes) == 1
        else f"{work.stage} {first.shard if first.shard is not None else ''}".strip()
    )


def _show(summary: dict[str, Any]) -> None:
    """Leave the counts as a table and the last overview as a picture."""
    name = summary["name"].lower().replace("_", "-").replace(".", "-")
    counts = [{"what": "used", "images": summary["used"]}]
    counts += [{"what": f"rejected: {reason}", "images": n} for reason, n in summary["reasons"].items()]
    create_table_artifact(key=f"{name}-images", table=counts, description="Images used and rejected")
    create_table_artifact(key=f"{name}-stages", table=summary["stages"], description="Results computed and reused")
    if summary["overviews"]:
        create_image_artifact(
            key=f"{name}-atlas", image_url=_data_url(summary["overviews"][-1]), description=summary["overviews"][-1]
        )


def _data_url(path: str) -> str:
    import numpy as np
    from PIL import Image

    from storage import pictures

    small = Image.fromarray(pictures.read(Path(path))).resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
    return "data:image/jpeg;base64," + base64.b64encode(pictures.encode(np.asarray(small), ".jpg")).decode()
