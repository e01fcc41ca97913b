"""Serving, without a server: the runner, its processes and settings, and what is said before anything is started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.exceptions import ObjectNotFound
from support import corpus, stores
from support.prefect_server import free_port

from flows import cli
from flows.config import RunConfig
from flows.scheduling import crashed_runs, schedules, serve
from storage.errors import Locked, UsageError
from storage.store.store import Store

ROOT = Path(__file__).parents[3]
CONFIG = RunConfig(images="photos", name="photos", limit=100)


@pytest.mark.parametrize("interrupts", [signal.default_int_handler, signal.SIG_IGN])
@pytest.mark.parametrize("lost", [0, 2])
def test_a_sigterm_stops_the_runner_even_if_it_is_lost_the_first_times(
    lost: int, interrupts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = []

    async def deaf(runner: Any) -> None:
        signal.signal(signal.SIGTERM, runner.handle_sigterm)
        os.kill(os.getpid(), signal.SIGTERM)
        while len(caught) <= lost:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                caught.append(1)
        raise asyncio.CancelledError

    monkeypatch.setattr(serve, "INSISTENCE", 0.2)
    monkeypatch.setattr(serve._Runner, "start", deaf)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGINT, interrupts)
    try:
        with pytest.raises(KeyboardInterrupt):
            serve._Runner(name="deaf").run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert caught


def test_runs_are_processes_apart_from_the_one_that_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that Ctrl-C on a terminal, which is for its whole group, makes no run log that it crashed."""
    isolated: list[bool] = []
    from prefect.runner import runner

    async def start(self: object) -> None:
        isolated.append(runner.EngineCommandStarter()._isolate_process_group)

    monkeypatch.setattr(serve._Runner, "start", start)
    serve._Runner(name="apart").run()
    assert isolated == [True]
    assert not runner.EngineCommandStarter()._isolate_process_group  # the mutant: Prefect's own way


SETTINGS_SEEN = """
import os
from flows.scheduling import server as prefect_server
import httpx
from prefect.settings import get_current_settings
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def settings(request):
    server = get_current_settings().server
    return PlainTextResponse(f"{server.analytics_enabled} {server.concurrency.lease_storage} {server.logging_level}")

prefect_server._app = lambda: Starlette(routes=[Route("/settings", settings)])
with prefect_server._own_server("127.0.0.1", int(os.environ["PORT"])):
    print(httpx.get(f"http://127.0.0.1:{os.environ['PORT']}/settings").text, os.environ["DO_NOT_TRACK"])
"""


@pytest.mark.parametrize("level", [None, "DEBUG"])
def test_our_own_server_keeps_leases_on_the_disk_and_tells_nobody(level: str | None) -> None:
    """In a process of its own, since Prefect fixes its settings when it is first imported."""
    ours = {"PREFECT_SERVER_ANALYTICS_ENABLED", "PREFECT_SERVER_LOGGING_LEVEL", "DO_NOT_TRACK", "PREFECT_API_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in ours} | {"PORT": str(free_port())}
    environment |= {"PREFECT_SERVER_LOGGING_LEVEL": level} if level else {}
    asked = subprocess.run(
        [sys.executable, "-c", SETTINGS_SEEN], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    filesystem = "prefect.server.concurrency.lease_storage.filesystem"
    assert asked.stdout.split() == ["False", filesystem, level or "ERROR", "1"], asked.stderr


def test_what_would_let_every_run_fail_is_said_before_a_server_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve.prefect_server, "server", lambda *_: pytest.fail("a server was started"))
    images = corpus.write_images(tmp_path / "images", 4)
    right = {"images": str(images), "store": str(tmp_path / "store"), "model": "support.corpus:net", "input_size": 32}
    for wrong, code in (
        ({"layers": ["features.99"]}, 4),
        ({"layers": ["features.2"], "images": str(tmp_path / "gone")}, 4),
        ({"layers": ["features.2"], "weights": str(tmp_path / "gone.pt")}, 1),
    ):
        file = tmp_path / "run.toml"
        file.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in (right | wrong).items()))
        assert cli.invoke(["serve", "--config", str(file), "--every", "1h"]) == code
        assert "99" in (said := capsys.readouterr().err) or "gone" in said


def test_lost_weights_of_a_run_that_is_there_are_no_hindrance(tmp_path: Path) -> None:
    """Else no update could be heard of that mends it."""
    stores.published(tmp_path, "listing", config={"model": "m", "weights": "/gone.pt"}, weights={"sha256": "0" * 64})
    serve.check(RunConfig(images="/photos", store=str(tmp_path), name="photos", model="m"))


@pytest.mark.parametrize("waiting", [[], ["actlas: regenerate photos"]])
def test_an_update_says_who_waits_for_it(
    waiting: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "announce", lambda update, store: waiting)
    asked = ["model", "updated", "photos", "--weights"]
    (tmp_path / "new.pt").write_bytes(b"weights")
    assert cli.invoke([*asked, str(tmp_path / "new.pt")]) == 0
    said = capsys.readouterr()
    assert ("waited for by actlas: regenerate photos" in said.out) == bool(waiting)
    assert ("warning: nothing on this server waits for updates of photos" in said.err) == (not waiting)
    for unreadable in ("gone.pt", ""):
        assert cli.invoke([*asked, str(tmp_path / unreadable)]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1


class Knowing:
    """A client of a server that knows these deployments, and these flow runs."""

    def __init__(self, deployments: dict[str, dict[str, Any]], runs: list[dict[str, Any]]) -> None:
        self.deployments, self.ended = deployments, []
        self.runs = [SimpleNamespace(id=number, parameters=told) for number, told in enumerate(runs)]

    def __enter__(self) -> Knowing:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_deployment_by_name(self, name: str) -> Any:
        if name not in self.deployments:
            raise ObjectNotFound(LookupError(name))
        return SimpleNamespace(parameters=self.deployments[name])

    def read_flow_runs(self, **_: object) -> list[Any]:
        return self.runs

    def set_flow_run_state(self, run: int, state: object, force: bool) -> None:
        self.ended.append(run)


def test_a_deployment_of_the_same_name_for_another_store_is_left_alone(tmp_path: Path) -> None:
    ours = schedules.deployments(CONFIG.model_copy(update={"store": str(tmp_path)}), None)
    told = {"actlas/photos": {"config": {"store": str(tmp_path)}}, "actlas-regenerate/photos": {"store": str(tmp_path)}}
    for known in ({}, told):
        serve.check_names(Knowing(known, []), ours)  # type: ignore[arg-type]
    for name, parameters in (("actlas", {"config": {}}), ("actlas-regenerate", {"store": "/theirs"})):
        another = Knowing(told | {f"{name}/photos": parameters}, [])
        with pytest.raises(UsageError, match=f"another store .*`prefect deployment delete {name}/photos`"):
            serve.check_names(another, ours)  # type: ignore[arg-type]


def test_only_runs_of_this_store_are_buried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = {"store": str(tmp_path)}, {"store": "/theirs"}
    client = Knowing({}, [mine, theirs, {"config": mine}, {"config": theirs}, {"config": {}}])
    monkeypatch.setattr(crashed_runs, "get_client", lambda **_: client)
    crashed_runs.mark_crashed(Store(tmp_path), "photos", [])
    assert client.ended == [0, 2]


def test_one_process_serves_a_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.serving("photos"):
        with pytest.raises(Locked, match="serving run 'photos'"), store.serving("photos"):
            pass
        with store.serving("others"), store.lock("photos"):
            pass
