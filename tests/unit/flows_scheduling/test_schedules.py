"""What is deployed, without a server: parameters, schedules, overlaps, triggers, and the settings of a run made anew."""

from __future__ import annotations

import importlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.exceptions import MissingFlowError

from flows import cli
from flows.config import RunConfig
from flows.pipeline import model_updates
from flows.scheduling import crashed_runs, prefect_flow, run_report, schedules, states, update_events
from storage.errors import UsageError

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
    served = {one.flow_name: one.entrypoint for one in schedules.deployments(CONFIG, None)}
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
    schedule = schedules.schedule("0 6 * * *", None, "Europe/Zurich")
    for wait, strategy in ((False, "CANCEL_NEW"), (True, "ENQUEUE")):
        scheduled, updated = schedules.deployments(CONFIG, schedule, wait=wait)
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
        ("0 6 * * *", timedelta(hours=1), None, "give one"),
    ],
)
def test_what_is_no_schedule_is_named(
    cron: str | None, every: timedelta | None, timezone: str | None, named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        schedules.schedule(cron, every, timezone)


@pytest.mark.parametrize("option", ["--every=-5m", "--every=0s", "--every=nan", "--every=1", "--debounce=-1s"])
def test_what_is_no_length_of_time_is_named(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["serve", "--images", "photos", option]) == 2
    assert option.replace("=", " ") in capsys.readouterr().err


def test_serving_again_does_not_shift_an_interval() -> None:
    first, second = (schedules.schedule(None, timedelta(hours=12), None) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.anchor_date == second.anchor_date
    assert schedules.schedule(None, None, None) is None


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
