"""`actlas serve`: a run on a schedule and after model updates, from one process on one machine, without a worker."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
import uvicorn
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow
from prefect.runner import Runner
from prefect.schedules import Cron, Interval, Schedule
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.types.entrypoint import EntrypointType

from flows import events, prefect_flow, progress
from flows.config import RunConfig
from flows.prefect_flow import ServerUnreachable
from flows.updates import Update
from storage.errors import UsageError
from storage.places import checked_name

HOST = "127.0.0.1"
PORT = 4200
PATIENCE = 120.0
"""Seconds that a server of ours may take to start: it makes its database the first time."""

OF_OUR_SERVER = {
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    # in memory, a restart would lose who holds a slot, and Prefect cancels a run whose lease it does not know
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}


def serve(deployments: list[RunnerDeployment], *, gpus: int, port: int) -> None:
    """Serve deployments until interrupted; schedules go on being made for the next time, and runs wait for it."""
    with server(port) as address:
        _prepare(gpus)
        runner = Runner(name="actlas", pause_on_shutdown=False, limit=None)
        for deployment in deployments:
            runner.add_deployment(deployment)
        names = ", ".join(f"{deployment.flow_name}/{deployment.name}" for deployment in deployments)
        progress.current().say(f"serving {names}; Prefect's page: {address.removesuffix('/api')}")
        try:
            asyncio.run(runner.start())
        except (httpx.HTTPError, RuntimeError) as error:
            raise ServerUnreachable(f"Prefect's server at {address} was lost: {_line(error)}") from None


def announce(update: Update) -> list[str]:
    """Tell the configured server of an update, or the one that `actlas serve` runs here; return who waits for it."""
    with temporary_settings(set_defaults={PREFECT_API_URL: f"http://{HOST}:{PORT}/api"}):
        return events.emit(update)


def deployments(
    config: RunConfig, schedule: Schedule | None, *, wait: bool = False, debounce: timedelta = timedelta(seconds=30)
) -> list[RunnerDeployment]:
    """Return the run on its schedule, and the run after a model update.

    At most one run of each goes on at a time; a scheduled one that comes too early is cancelled, or with `wait` waits its
    turn. A run of the other kind, or from a command line, meets the store's lock.
    """
    name = checked_name("run", config.run_name)
    progress.current().say(f"{name}: {config.model}, {', '.join(config.chosen_layers)}")
    wait_for, leave = ConcurrencyLimitStrategy.ENQUEUE, ConcurrencyLimitStrategy.CANCEL_NEW
    settings = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    scheduled = _deployment(
        prefect_flow.activation_atlas,
        name,
        wait_for if wait else leave,
        schedules=[schedule] if schedule else [],
        parameters={"config": settings, "wait": wait, "follow_updates": True},
    )
    updated = _deployment(
        prefect_flow.regenerate,
        name,
        wait_for,
        triggers=[events.trigger(name, debounce)],
        parameters={"name": name, "store": config.store},
    )
    return [scheduled, updated]


def _deployment(
    flow: Flow[..., Any], name: str, overlap: ConcurrencyLimitStrategy, **settings: Any
) -> RunnerDeployment:
    made = flow.to_deployment(
        name=name,
        tags=[events.TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,  # by file, Prefect would put flows/ in front of the packages' path
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=overlap),
        **settings,
    )
    return cast(RunnerDeployment, made)


def schedule(cron: str | None, every: timedelta | None, timezone: str | None) -> Schedule | None:
    """Return the schedule asked for, if any. Raises UsageError for what is none."""
    if cron and every:
        raise UsageError("--cron and --every are two schedules; give one of them")
    try:
        ZoneInfo(timezone or "UTC")
        return Cron(cron, timezone=timezone) if cron else Interval(every, timezone=timezone) if every else None
    except (ZoneInfoNotFoundError, IsADirectoryError):
        raise UsageError(f"--timezone {timezone} is not known; write it as in Europe/Zurich") from None
    except ValueError as error:
        raise UsageError(f"--cron {cron}: {error}; write five fields, as in '0 6 * * *'") from None


@contextmanager
def server(port: int) -> Iterator[str]:
    """Yield the address of the server that is configured or answers at `port`, or else of one of this process's own."""
    address = PREFECT_API_URL.value() or f"http://{HOST}:{port}/api"
    with temporary_settings({PREFECT_API_URL: address}):
        os.environ["PREFECT_API_URL"] = address  # for the processes of the runs
        if _answers(address):
            yield address
        elif PREFECT_API_URL.value() != f"http://{HOST}:{port}/api":
            raise ServerUnreachable(f"Prefect's server at {address} does not answer; check PREFECT_API_URL")
        else:
            with _own_server(port):
                yield address


@contextmanager
def _own_server(port: int) -> Iterator[None]:
    """Run a Prefect server in a thread, with its services, on this machine's loopback address."""
    for name, value in (
        OF_OUR_SERVER | {"PREFECT_SERVER_API_HOST": HOST, "PREFECT_SERVER_API_PORT": str(port)}
    ).items():
        os.environ.setdefault(name, value)  # a new thread reads its settings from the environment
    progress.current().say(f"starting Prefect's server at http://{HOST}:{port}")
    made = uvicorn.Config(_app, factory=True, host=HOST, port=port, log_level="warning")
    running = uvicorn.Server(made)
    thread = threading.Thread(target=running.run, name="prefect-server", daemon=True)
    thread.start()
    started = time.monotonic()
    while not running.started:
        if not thread.is_alive() or time.monotonic() - started > PATIENCE:
            raise ServerUnreachable(
                f"Prefect's server did not start at port {port}; is the port taken? --port names another"
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        running.should_exit = True
        thread.join(timeout=15)


def _app() -> Any:
    from prefect.server.api.server import create_app

    return create_app(final=True)


def _prepare(gpus: int) -> None:
    """Set the limit on tasks that use a GPU, and have runs called crashed that fall silent."""
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(events.HEARTBEAT))
    with get_client(sync_client=True) as client:
        client.create_concurrency_limit(tag=prefect_flow.GPU_TAG, concurrency_limit=gpus)
        events.crash_the_silent(client)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health", timeout=10).is_success
    except httpx.HTTPError:
        return False


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
