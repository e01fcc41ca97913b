"""`actlas serve`: repeat a run on a schedule and after model updates, from one process, without a Prefect worker."""

from __future__ import annotations

import asyncio
import functools
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.runner import runner as runner_module

from flows import progress
from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import model_updates
from flows.pipeline import run as pipeline
from flows.pipeline.model_updates import Update
from flows.scheduling import crashed_runs, states, update_events
from flows.scheduling import server as prefect_server
from flows.scheduling.states import ServerUnreachable
from storage.errors import BadWeights, UsageError, first_line
from storage.store.store import Store

COMMAND = [sys.executable, "-m", "flows.scheduling.run_process"]

INSISTENCE = 20.0
"""Seconds between two interrupts after a SIGTERM."""


@contextmanager
def _apart() -> Iterator[None]:
    """Start the runs' processes, by a module of ours, apart from this one's group: Ctrl-C is for this process.

    It ends them in order; a run that is interrupted itself logs a crash as an error, at whatever point it has reached.
    """
    starter = getattr(runner_module, "EngineCommandStarter")  # noqa: B009, which it does not export
    apart = functools.partial(starter, isolate_process_group=True, command=shlex.join(COMMAND))
    setattr(runner_module, "EngineCommandStarter", apart)  # noqa: B010, which is no type to mypy
    try:
        yield
    finally:
        setattr(runner_module, "EngineCommandStarter", starter)  # noqa: B010


class _Runner(Runner):
    """A runner that handles SIGTERM as Ctrl-C; Prefect's own handler exits in the middle of the event loop.

    The interrupt is repeated: code that catches cancellation may swallow one, and a container is killed after its grace
    period.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._over = threading.Event()

    def run(self) -> None:
        """Run until interrupted."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a script's background jobs
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with _apart():
                asyncio.run(self.start())
        finally:
            self._over.set()

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        threading.Thread(target=self._interrupt, name="sigterm", daemon=True).start()

    def _interrupt(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while not self._over.wait(INSISTENCE):
            os.kill(os.getpid(), signal.SIGINT)


def serve(config: RunConfig, deployments: list[RunnerDeployment], *, gpus: int, host: str, port: int) -> None:
    """Serve a run's deployments until interrupted. Stopping pauses no schedule: runs that come due meanwhile wait.

    Raises Locked if another process serves the run, ServerUnreachable, and the errors of images, model or layers.
    """
    store = Store(Path(config.store))
    store.check_writable()
    prefect_server.check(port)
    check(config)
    with store.serving(config.run_name), prefect_server.server(host, port) as address:
        prepare(gpus)
        with get_client(sync_client=True) as client:
            check_names(client, deployments)
        runner = _Runner(name="actlas", pause_on_shutdown=False, limit=None)
        ids = [cast(UUID, runner.add_deployment(deployment)) for deployment in deployments]
        crashed_runs.mark_crashed(store, config.run_name, ids)
        names = ", ".join(f"{deployment.flow_name}/{deployment.name}" for deployment in deployments)
        progress.current().say(f"serving {names}; Prefect's page: {address.removesuffix('/api')}")
        try:
            runner.run()
        except KeyboardInterrupt:
            progress.current().say("stopped; the schedule stays, and runs that come due start when it is served again")
        except (httpx.HTTPError, RuntimeError) as error:
            raise ServerUnreachable(f"Prefect's server at {address} was lost: {first_line(error)}") from None
        crashed_runs.mark_crashed(store, config.run_name, ids)


def check(config: RunConfig) -> None:
    """Raise an error that would fail every run. Lost weights do not: the next update names others."""
    try:
        pipeline.check(model_updates.follow(config))
    except BadWeights as error:
        if not Store(Path(config.store)).versions(config.run_name):
            raise
        progress.current().say(f"runs will fail until the next update: {error}")
    prepared.forget()


def check_names(client: SyncPrefectClient, deployments: Iterable[RunnerDeployment]) -> None:
    """Raise UsageError if the server has a deployment of this name for another store: they would take each other's runs."""
    for deployment in deployments:
        try:
            known = client.read_deployment_by_name(f"{deployment.flow_name}/{deployment.name}")
        except ObjectNotFound:
            continue
        ours, theirs = crashed_runs.store_of(deployment.parameters), crashed_runs.store_of(known.parameters or {})
        if ours != theirs:
            raise UsageError(
                f"{deployment.name} is served for another store on this server, {theirs}: give this run another --name, or "
                f"delete that one by `prefect deployment delete {deployment.flow_name}/{deployment.name}`"
            )


def announce(update: Update, store: str) -> list[str]:
    """Keep an update in the store, then send it to the configured server, or to that of `actlas serve` here.

    Return the automations waiting for it. Raises ServerUnreachable; a kept update is made up for by the next scheduled run.
    """
    kept = model_updates.keep(store, update)
    try:
        with prefect_server.known():
            return update_events.emit(update)
    except ServerUnreachable as error:
        raise ServerUnreachable(
            f"{error}; the next scheduled run uses the weights anyway" if kept else str(error)
        ) from None


def prepare(gpus: int) -> None:
    """Set the server's limit on tasks that use a GPU, and have it mark silent runs as crashed."""
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(crashed_runs.HEARTBEAT))
    with get_client(sync_client=True) as client:
        client.create_concurrency_limit(tag=states.GPU_TAG, concurrency_limit=gpus)
        crashed_runs.mark_silent_as_crashed(client)
