"""The deployments of a served run: its schedule, and the regeneration after model updates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow
from prefect.schedules import Cron, Interval, Schedule
from prefect.types.entrypoint import EntrypointType

from flows import progress
from flows.config import RunConfig
from flows.scheduling import prefect_flow, update_events
from flows.scheduling.run_report import TAG
from storage.errors import UsageError
from storage.store.places import checked_name

ANCHOR = datetime(2024, 1, 1, tzinfo=UTC)
"""Start of the first interval, so that a restart does not shift them."""


def deployments(
    config: RunConfig, schedule: Schedule | None, *, wait: bool = False, debounce: timedelta = timedelta(seconds=30)
) -> list[RunnerDeployment]:
    """Return the run on its schedule, and the run after a model update.

    At most one run of each is active at a time; a scheduled one that comes too early is cancelled, or with `wait` queued.
    Against runs of the other kind, or from a command line, the store's lock protects.
    """
    name = checked_name("run", config.run_name)
    progress.current().say(f"{name}: {config.model}, {', '.join(config.chosen_layers)}")
    enqueue, cancel = ConcurrencyLimitStrategy.ENQUEUE, ConcurrencyLimitStrategy.CANCEL_NEW
    store = str(Path(config.store).absolute())  # other processes of this server may run in another folder
    settings = config.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"store": store}
    scheduled = _deployment(
        prefect_flow.activation_atlas,
        name,
        enqueue if wait else cancel,
        schedules=[schedule] if schedule else [],
        parameters={"config": settings, "wait": wait, "follow_updates": True},
    )
    updated = _deployment(
        prefect_flow.regenerate,
        name,
        enqueue,
        triggers=[update_events.trigger(name, debounce)],
        parameters={"name": name, "store": store},
    )
    return [scheduled, updated]


def _deployment(
    flow: Flow[..., Any], name: str, overlap: ConcurrencyLimitStrategy, **settings: Any
) -> RunnerDeployment:
    deployment = flow.to_deployment(
        name=name,
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,  # by file, Prefect would put flows/ in front of the packages' path
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=overlap),
        **settings,
    )
    return cast(RunnerDeployment, deployment)


def schedule(cron: str | None, every: timedelta | None, timezone: str | None) -> Schedule | None:
    """Return the schedule, None if none is given. Raises UsageError if it is not well written."""
    if cron and every:
        raise UsageError("--cron and --every exclude each other; give one")
    try:
        ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, OSError, ValueError):  # no such zone, a folder, a path
        raise UsageError(f"--timezone {timezone} is not a known time zone; write one such as Europe/Zurich") from None
    if every:
        return Interval(every, anchor_date=ANCHOR, timezone=timezone)
    try:
        return Cron(cron, timezone=timezone) if cron else None
    except ValueError as error:
        raise UsageError(f"--cron {cron}: {error}; write five fields, as in '0 6 * * *'") from None
