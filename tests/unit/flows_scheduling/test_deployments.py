"""What is deployed, without a server: parameters, schedules, overlaps, triggers, and the settings of a run made anew."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prefect.exceptions import MissingFlowError, ObjectNotFound
from support import corpus, stores
from support.prefect_server import free_port

from flows import cli
from flows.config import RunConfig
from flows.pipeline import model_updates
from flows.scheduling import crashed_runs, deployments, prefect_flow, run_report, serve, states, update_events
from storage.errors import BadWeights, Locked, NotFound, UsageError
from storage.store.store import Contents, Store

ROOT = Path(__file__).parents[3]
FLOWS = {"nightly": prefect_flow.activation_atlas, "model-updated": prefect_flow.regenerate}
CONFIG = RunConfig(images="photos", name="photos", limit=100)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The deployments of prefect.yaml by their names, as Prefect reads them."""
    from prefect.cli.deploy._models import PrefectYamlModel

    read = PrefectYamlModel.model_validate(yaml.safe_load((ROOT / "prefect.yaml").read_text()))
    return {str(deployment.name): deployment for deployment in read.deployments}


@pytest.mark.parametrize("name", FLOWS)
def test_the_project_deploys_our_flows_with_parameters_they_take(name: str, project: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    deployment, flow = project[name], load_flow_from_entrypoint(project[name].entrypoint)
    assert flow is FLOWS[name]
    assert run_report.TAG in deployment.tags
    told_by_the_event = {key: "0" for trigger in deployment.triggers or [] for key in trigger["parameters"]}
    flow.validate_parameters(deployment.parameters | told_by_the_event)
    with pytest.raises(Exception, match="limt"):
        flow.validate_parameters(
            {"config": {"images": "x", "limt": 1}} if name == "nightly" else {"name": "x", "weights": "w", "limt": 1}
        )


def test_the_project_and_serve_run_the_same_flows(project: dict[str, Any]) -> None:
    served = {one.flow_name: one.entrypoint for one in deployments.deployments(CONFIG, None)}
    assert served == {FLOWS[name].name: deployment.entrypoint for name, deployment in project.items()}


@pytest.mark.parametrize("flow", [flow.fn.__name__ for flow in FLOWS.values()])
def test_an_entry_point_that_has_moved_says_where_it_is(flow: str) -> None:
    """As `prefect deploy` reads it from an old prefect.yaml, and a worker from an old deployment."""
    from prefect.flows import load_flow_from_entrypoint

    for placeholder in (True, False):
        with pytest.raises(
            ImportError, match=rf"is now flows\.scheduling\.prefect_flow\.{flow}: .*prefect deploy"
        ) as moved:
            load_flow_from_entrypoint(f"flows.prefect_flow.{flow}", use_placeholder_flow=placeholder)
        assert "\n" not in str(moved.value)
    with pytest.raises(MissingFlowError):
        load_flow_from_entrypoint("flows.prefect_flow.nothing")


@pytest.mark.parametrize("flow", FLOWS.values(), ids=lambda flow: flow.fn.__name__)
def test_a_run_of_an_old_deployment_fails_in_one_line(flow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.callables import parameters_to_args_kwargs

    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "of the run")
    moved = load_flow_from_entrypoint(f"flows.prefect_flow.{flow.fn.__name__}")
    given = dict.fromkeys(flow.parameters.properties, "x")
    arguments, named = parameters_to_args_kwargs(moved.fn, given)
    state = moved.fn(*arguments, **named)
    assert (moved.name, state.type.value) == (flow.name, "FAILED")
    assert f"is now flows.scheduling.prefect_flow.{flow.fn.__name__}: change it in prefect.yaml" in state.message


INLINE = re.compile(r"python -c [\"'](.+?)[\"'](?:\s|$)", re.M)


@pytest.mark.parametrize("file", ["docker/deploy.sh", "docs/schedules.md"])
def test_lines_of_python_in_scripts_import_what_there_is(file: str) -> None:
    lines = [line for line in INLINE.findall((ROOT / file).read_text()) if "flows" in line]
    assert lines
    for line in lines:
        imported = re.search(r"from ([\w.]+) import (\w+)", line)
        assert imported is not None
        module = importlib.import_module(f"{imported[1]}.{imported[2]}")
        for name in re.findall(rf"\b{imported[2]}\.(\w+)", line):
            assert callable(getattr(module, name))


def test_the_project_runs_a_subset_on_a_schedule_and_leaves_out_what_comes_too_early(project: dict[str, Any]) -> None:
    nightly = project["nightly"]
    assert (nightly.schedules[0].cron, nightly.schedules[0].timezone) == ("0 3 * * *", "Europe/Zurich")
    assert {"limit", "seed"} <= set(nightly.parameters["config"])
    assert nightly.concurrency_limit.model_dump(exclude_none=True) == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_the_project_and_serve_wait_for_the_same_event(project: dict[str, Any]) -> None:
    from prefect.events import DeploymentEventTrigger

    written = DeploymentEventTrigger.model_validate(project["model-updated"].triggers[0])
    assert written == update_events.trigger("*", timedelta(seconds=30))


def test_serve_makes_one_run_at_a_time_and_leaves_out_or_waits_by_choice() -> None:
    schedule = deployments.schedule("0 6 * * *", None, "Europe/Zurich")
    for wait, strategy in ((False, "CANCEL_NEW"), (True, "ENQUEUE")):
        scheduled, updated = deployments.deployments(CONFIG, schedule, wait=wait)
        assert (scheduled.concurrency_limit, scheduled.concurrency_options.collision_strategy.value) == (1, strategy)
        assert (updated.concurrency_limit, updated.concurrency_options.collision_strategy.value) == (1, "ENQUEUE")
        assert scheduled.parameters == {
            "config": {
                "images": "photos",
                "name": "photos",
                "limit": 100,
                "store": str(Path("actlas-store").absolute()),
            },
            "wait": wait,
            "follow_updates": True,
        }
        assert scheduled.schedules[0].schedule.timezone == "Europe/Zurich"
        assert updated.parameters == {"name": "photos", "store": str(Path("actlas-store").absolute())}
        assert (scheduled.entrypoint, updated.entrypoint) == (
            "flows.scheduling.prefect_flow.activation_atlas",
            "flows.scheduling.prefect_flow.regenerate",
        )


def test_an_update_is_acted_on_when_no_other_follows_or_at_once() -> None:
    patient, hasty = (
        update_events.trigger("photos", timedelta(seconds=45)),
        update_events.trigger("photos", timedelta(0)),
    )
    assert (patient.posture.value, patient.within, patient.after) == (
        "Proactive",
        timedelta(seconds=45),
        {model_updates.EVENT},
    )
    assert (hasty.posture.value, hasty.within, hasty.after) == ("Reactive", timedelta(0), set())
    assert update_events.trigger("photos", timedelta(seconds=1)).within == update_events.SHORTEST
    assert patient.match.root == {"prefect.resource.id": "actlas.run.photos"}


@pytest.mark.parametrize(
    ("cron", "every", "timezone", "named"),
    [
        ("0 6 * *", None, None, "five fields"),
        ("0 6 * * *", None, "Mars/Base", "--timezone Mars/Base"),
        ("0 6 * * *", None, "/etc/passwd", "--timezone /etc/passwd"),
        (None, timedelta(hours=1), "Europe", "--timezone Europe"),
        ("0 6 * * *", timedelta(hours=1), None, "one of them"),
    ],
)
def test_what_is_no_schedule_is_named(
    cron: str | None, every: timedelta | None, timezone: str | None, named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        deployments.schedule(cron, every, timezone)


@pytest.mark.parametrize("option", ["--every=-5m", "--every=0s", "--every=nan", "--every=1", "--debounce=-1s"])
def test_what_is_no_length_of_time_is_named(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["serve", "--images", "photos", option]) == 2
    assert option.replace("=", " ") in capsys.readouterr().err


def test_serving_again_does_not_shift_an_interval() -> None:
    first, second = (deployments.schedule(None, timedelta(hours=12), None) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.anchor_date == second.anchor_date
    assert deployments.schedule(None, None, None) is None


def test_every_way_that_our_runs_end_counts_as_a_sign_of_life() -> None:
    """Else a run that ends in a state of our own naming would be called crashed two minutes later."""
    assert {states.PARTLY_REJECTED, states.SKIPPED} < set(crashed_runs.FINAL)


def test_the_form_has_types_choices_and_words() -> None:
    form = prefect_flow.activation_atlas.parameters.model_dump()
    assert form["required"] == ["config"]
    config = form["definitions"]["RunConfig"]["properties"]
    assert {setting: config[setting]["type"] for setting in ("images", "seed", "grids", "max_rejected")} == {
        "images": "string",
        "seed": "integer",
        "grids": "array",
        "max_rejected": "number",
    }
    assert config["recipe"]["enum"] == ["fast", "best", "distill"]
    assert set(config) == {field.alias or name for name, field in RunConfig.model_fields.items()}
    for flow in FLOWS.values():
        assert all("description" in field for field in flow.parameters.properties.values()), flow.name


def published(root: Path, *stages: str, **about: Any) -> Store:
    """Publish a version of a run named `photos` that has results of these stages."""
    store = Store(root)
    facts = {
        "images": "/photos",
        "model": "m",
        "listed": 100,
        "rejected": {},
        "config": {"model": "m", "layers": ["l"]},
    }
    results = [stores.entry(stores.commit(store, stage, 0)) for stage in stages]
    store.publish("photos", Contents(facts | about, results))
    return store


def test_a_run_is_made_anew_with_its_own_settings(tmp_path: Path) -> None:
    settings = {"model": "m", "layers": ["l"], "limit": 7, "seed": 3, "extras": ["gallery"], "weights": "old.pt"}
    published(tmp_path, "listing", "collect", "patches", config=settings, rejected={"truncated": 20})
    made = model_updates.stored_config(str(tmp_path), "photos", weights="/new.pt")
    assert made == RunConfig(
        images="/photos",
        store=str(tmp_path),
        name="photos",
        model="m",
        layers=("l",),
        limit=7,
        seed=3,
        extras=("gallery",),
        weights="/new.pt",
        until="patches",
        max_rejected=0.2,
    )
    with pytest.raises(NotFound, match="photos"):
        model_updates.stored_config(str(tmp_path), "others")


def test_a_whole_run_is_made_anew_as_a_whole(tmp_path: Path) -> None:
    published(tmp_path, "listing", "tiles", "gallery")
    made = model_updates.stored_config(str(tmp_path), "photos")
    assert (made.until, made.max_rejected) == (None, RunConfig(images="").max_rejected)


def test_a_schedule_follows_the_weights_of_the_last_update_of_its_own_model(tmp_path: Path) -> None:
    config = RunConfig(images="/photos", store=str(tmp_path), name="photos", model="m", weights="first.pt")
    assert model_updates.follow(config) == config
    published(tmp_path, "listing", config={"model": "m", "weights": "/new.pt"})
    assert model_updates.follow(config) == config.model_copy(update={"weights": "/new.pt"})
    other = config.model_copy(update={"model": "another"})
    assert model_updates.follow(other) == other


def test_weights_are_named_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new.pt").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    update = model_updates.announce("photos", "new.pt")
    assert update.weights == str(tmp_path / "new.pt")
    assert update.sha256 == hashlib.sha256(b"weights").hexdigest()
    model_updates.check(update.weights, update.sha256)
    (tmp_path / "new.pt").write_bytes(b"weighty")
    with pytest.raises(BadWeights, match="not those announced"):
        model_updates.check(update.weights, update.sha256)
    with pytest.raises(BadWeights, match="No such file"):
        model_updates.announce("photos", "old.pt")
    with pytest.raises(UsageError, match=r"\.\./photos"):
        model_updates.announce("../photos", "new.pt")


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
    published(tmp_path, "listing", config={"model": "m", "weights": "/gone.pt"}, weights={"sha256": "0" * 64})
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
    assert ("warning: nothing waits for updates of photos" in said.err) == (not waiting)
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
    ours = deployments.deployments(CONFIG.model_copy(update={"store": str(tmp_path)}), None)
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


def test_the_report_adds_up_by_stage_and_links_to_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {
            "stage": "cells",
            "layer": layer,
            "computed": made,
            "reused": 2 - made,
            "seconds": 1.25 * made,
            "bytes": 50_000,
        }
        for layer, made in (("a", 2), ("b", 1))
    ]
    summary = {"name": "photos", "version": 3, "used": 9_990, "images": 10_000, "rejected": 10, "computed": 3}
    summary |= {"reused": 1, "seconds": 4.4, "reasons": {"truncated": 10}, "stages": rows, "store": "/data/store"}
    summary |= {"not_listed": {"heif": 9}, "not_labelled": {}}
    summary["overviews"] = [{"layer": "a/b", "grid": 20, "path": "/data/store/x/overview.png"}]
    monkeypatch.delenv(run_report.VIEWER, raising=False)
    text = run_report.report(summary)
    assert "9,990 of 10,000 images used, 10 rejected; 3 results computed, 1 reused, in 4 s." in text
    assert "| cells | 3 | 1 | 3.8 | 0.1 |" in text
    assert "- atlas: a/b, 20 × 20 in `/data/store/x/overview.png`" in text
    assert "- version: photos@3 in `/data/store`" in text
    assert re.search(
        r"- rejected: 10 truncated; \[images\]\(\S*/artifacts/key/photos-images\); `actlas sql photos@3 ", text
    )
    assert "- not listed: 9 HEIC files: pip install 'actlas[heif]'" in text
    assert "not labelled" not in text
    assert re.search(r"- cost: 4\.4 s, 0\.1 MB written; \[stages\]\(\S*/artifacts/key/photos-stages\)", text)
    monkeypatch.setenv(run_report.VIEWER, "https://atlas.example/")
    text = run_report.report(summary)
    assert "- atlas: [a/b, 20 × 20](https://atlas.example/photos@3/atlas/a%2Fb?grid=20)" in text
    assert "- version: [photos@3](https://atlas.example/photos@3/run)" in text


def test_the_viewer_is_linked_where_its_address_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(run_report.VIEWER, raising=False)
    assert run_report.viewer({"name": "photos", "version": 3}) is None
    monkeypatch.setenv(run_report.VIEWER, "https://atlas.example/")
    assert run_report.viewer({"name": "photos", "version": 3}) == "https://atlas.example/photos@3/run"
    monkeypatch.setenv(run_report.VIEWER, "https://user:password@atlas.example/")
    assert run_report.viewer({"name": "photos", "version": 3}) is None


def test_the_page_on_schedules_names_what_there_is() -> None:
    text = (ROOT / "docs" / "schedules.md").read_text()
    words = [
        *crashed_runs.FINAL,
        states.GPU_TAG,
        run_report.VIEWER,
        model_updates.EVENT,
        f"{model_updates.RESOURCE}photos",
    ]
    words += [f"{flow.name}/{name}" for name, flow in FLOWS.items()] + ["AwaitingConcurrencySlot"]
    assert [word for word in words if f"`{word}`" not in text] == []
    first, second = prefect_flow.perform.retry_delay_seconds
    assert f"{first:.0f} and {second:.0f} s apart" in text
    for variable in re.findall(r"`(ACTLAS_[A-Z]+|PREFECT_[A-Z_]+)`", text):
        files = [*(ROOT / "docker").glob("compose*.yaml"), ROOT / "docs" / "commands.md"]
        assert any(variable in file.read_text() for file in files), variable
