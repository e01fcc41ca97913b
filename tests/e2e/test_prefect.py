"""The Prefect flows make the same bytes as the inline engine, and their states and page say what became of a run."""

from __future__ import annotations

import contextvars
import logging
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from support import corpus, odd_models
from support.prefect_server import Server, free_port, wait_for
from support.trees import tree

from flows.config import RunConfig
from flows.pipeline import model_updates
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.planning.tasks import Outcome, Output, Task
from storage.errors import BadWeights, Changed, Locked, ModelError, Unreadable
from storage.store.store import Store

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 24)


@pytest.fixture
def quick(images: Path, tmp_path: Path) -> RunConfig:
    """A run that ends after its cells."""
    return corpus.config(images, tmp_path / "store", until="cells")


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


def last_state(client: Any) -> tuple[str, str, str]:
    """Return type, name and message of the state of the flow run that was created last."""
    from prefect.client.schemas.sorting import FlowRunSort

    state = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0].state
    return state.type.value, state.name, state.message or ""


def test_prefect_and_inline_make_the_same_trees(
    images: Path, tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.scheduling import prefect_flow, run_report

    monkeypatch.setenv(run_report.VIEWER, "http://viewer:8400/")
    pipeline.run(corpus.config(images, tmp_path / "inline"), Inline())
    summary = prefect_flow.run(corpus.config(images, tmp_path / "prefect"))
    assert summary["version"] == 1
    assert tree(tmp_path / "prefect") == tree(tmp_path / "inline")
    assert last_state(client)[:2] == ("COMPLETED", "Completed")
    artifacts = {artifact.key: artifact for artifact in client.read_artifacts() if artifact.key}
    assert artifacts["small-atlas"].data.startswith("data:image/jpeg;base64,")
    assert "http://viewer:8400/small@1/run" in artifacts["small-viewer"].data
    assert "24 of 24 images used" in artifacts["small-report"].data
    assert "| collect | 4 | 0 |" in artifacts["small-report"].data
    assert {artifact.type for artifact in client.read_artifacts()} == {"progress", "markdown", "table", "image"}
    assert {run.state_name for run in client.read_task_runs()} == {"Completed"}


def test_mutant_an_engine_that_changes_what_was_asked_makes_other_trees(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys are the same, being planned before: only the bytes tell."""
    from flows.scheduling import prefect_flow

    execute = prefect_flow.execute

    def changed(task: Task) -> list[Outcome]:
        return execute(replace(task, settings=task.settings | {"config": task.settings["config"] | {"seed": 1}}))

    pipeline.run(corpus.config(images, tmp_path / "inline", until="collect"), Inline())
    monkeypatch.setattr(prefect_flow, "execute", changed)
    prefect_flow.run(corpus.config(images, tmp_path / "prefect", until="collect"))
    trees = tree(tmp_path / "prefect"), tree(tmp_path / "inline")
    assert {path for path in trees[0] if path.startswith("stages")} == {p for p in trees[1] if p.startswith("stages")}
    assert trees[0] != trees[1]


def test_states_tell_partly_rejected_skipped_and_failed_apart(images: Path, quick: RunConfig, client: Any) -> None:
    from flows.scheduling import prefect_flow

    broken = images / "noise" / "broken.jpg"
    broken.write_bytes(b"no image")
    try:
        assert prefect_flow.run(quick)["rejected"] == 1
        assert last_state(client)[:2] == ("COMPLETED", "PartlyRejected")
        assert "24 of 25 images used, 1 rejected" in last_state(client)[2]
        with pytest.raises(pipeline.TooManyRejected):
            prefect_flow.run(quick.model_copy(update={"max_rejected": 0.0}))
        assert last_state(client)[:2] == ("FAILED", "Failed")
        assert "1 not-an-image" in last_state(client)[2]
    finally:
        broken.unlink()
    with Store(Path(quick.store)).lock("small"), pytest.raises(Locked, match="process"):
        prefect_flow.run(quick)
    assert last_state(client)[:2] == ("COMPLETED", "Skipped")
    assert Store(Path(quick.store)).versions("small") == [1]


def test_a_model_that_fails_on_an_image_is_the_line_of_an_inline_run(
    tmp_path: Path, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.scheduling import prefect_flow

    images, name = odd_models.write_white(tmp_path / "images"), "white_leaves"
    config = corpus.config(
        images, tmp_path / "s", until="patches", model=f"support.odd_models:{name}", layers=("conv2",)
    )
    with pytest.raises(ModelError) as inline:
        pipeline.run(config, Inline())
    with pytest.raises(ModelError) as flow:
        prefect_flow.run(config)
    assert re.fullmatch(f"model support.odd_models:{name}: {odd_models.WHITE[name]}", str(inline.value))
    assert str(flow.value) == str(inline.value)
    assert last_state(client) == ("FAILED", "Failed", str(inline.value))
    assert "Traceback" not in capsys.readouterr().err


def test_a_second_run_waits_if_it_is_told_to(quick: RunConfig) -> None:
    from flows.scheduling import prefect_flow

    held, seen = threading.Event(), []

    def hold() -> None:
        with Store(Path(quick.store)).lock("small"):
            held.set()
            time.sleep(1.5)
            seen.append(Store(Path(quick.store)).versions("small"))

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert prefect_flow.run(quick, wait=True)["version"] == 1
    holder.join()
    assert seen == [[]]


def test_an_update_makes_anew_what_its_weights_reach(quick: RunConfig, tmp_path: Path, client: Any) -> None:
    from flows.scheduling import prefect_flow

    prefect_flow.run(quick)
    weights = tmp_path / "new.pt"
    net = corpus.net()
    with torch.no_grad():
        net.features[3].weight.mul_(1.1)
    torch.save(net.state_dict(), weights)
    update = model_updates.announce("small", str(weights))
    prefect_flow.regenerate(**update.payload(), store=quick.store)
    report = next(a.data for a in client.read_artifacts() if a.key == "small-report" and "small@2" in a.data)
    assert "| collect | 2 | 2 |" in report  # of two layers and two shards, those after the changed convolution
    assert Store(Path(quick.store)).version("small").about["config"]["weights"] == str(weights)
    assert model_updates.follow(quick).weights == str(weights)
    weights.write_bytes(b"another")
    with pytest.raises(BadWeights, match="not those announced"):
        prefect_flow.regenerate(**update.payload(), store=quick.store)
    assert last_state(client)[1] == "Failed"
    assert Store(Path(quick.store)).versions("small") == [1, 2]


def test_what_may_pass_is_tried_again_and_what_cannot_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.scheduling import prefect_flow

    calls: list[type[Exception]] = []
    failing: type[Exception] = Unreadable

    def execute(work: object) -> list[object]:
        calls.append(failing)
        raise failing("as planned")

    monkeypatch.setattr(prefect_flow, "execute", execute)
    task = prefect_flow.perform.with_options(retry_delay_seconds=0)
    for failing, attempts in ((Unreadable, 3), (TimeoutError, 3), (Changed, 1), (ValueError, 1)):
        calls.clear()
        with pytest.raises(failing):
            task({"stage": "cells", "store": "s", "outputs": [], "reads": {}, "settings": {}})
        assert len(calls) == attempts


@pytest.mark.parametrize(("stage", "most"), [("icon_parts", 1), ("layout", 2)])
def test_the_limit_on_gpus_holds_for_the_stages_that_use_one(
    stage: str, most: int, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`layout` uses none, so it is also the mutant: without the tag, two tasks run at once."""
    from prefect import flow

    from flows.scheduling import prefect_flow, states

    client.create_concurrency_limit(tag=states.GPU_TAG, concurrency_limit=1)
    running, peak, both = [], [], threading.Barrier(2)

    def execute(task: Task) -> list[object]:
        running.append(task)
        peak.append(len(running))
        time.sleep(0.7)
        running.remove(task)
        return []

    monkeypatch.setattr(prefect_flow, "execute", execute)

    @flow(persist_result=False)
    def one(number: int) -> None:
        both.wait()
        engine = prefect_flow.PrefectEngine(prefect_flow.RunReport(), [states.GPU_TAG])
        engine.run([Task(stage=stage, store="s", outputs=(Output(stage=stage, key=str(number)),))])

    # a bare thread has the settings of when Prefect was first imported, and would start a server of its own
    contexts = [contextvars.copy_context() for _ in range(2)]
    threads = [threading.Thread(target=context.run, args=(one, number)) for number, context in enumerate(contexts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(peak) == most


def test_a_lost_server_is_said_once_and_not_by_prefect_for_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.scheduling import run_report

    logger, written, said = logging.getLogger(run_report.UNSENT), list[logging.LogRecord](), list[str]()
    monkeypatch.setattr(logger, "filters", [])
    monkeypatch.setattr(logger, "callHandlers", written.append)
    monkeypatch.setattr(run_report.progress.Quiet, "say", lambda self, text: said.append(text))
    report = run_report.RunReport()
    for call in (lambda: None, *[lambda: httpx.get("http://127.0.0.1:9")] * 2):
        report._send(call)
        logger.error("Service %r failed to process item %r", "EventsWorker", call)
    assert len(written) == 1
    assert said == ["Prefect's page is no longer updated: [Errno 111] Connection refused"]


def test_the_tag_is_there_where_the_device_is_a_gpu(quick: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.scheduling import states

    assert states.gpu_tags(quick.model_copy(update={"device": "cpu"})) == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert states.gpu_tags(quick.model_copy(update={"device": "auto"})) == [states.GPU_TAG]


def test_a_server_that_is_not_there_is_named_and_nothing_is_written(quick: RunConfig) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.scheduling import prefect_flow, states, update_events

    nowhere = {PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}
    with temporary_settings(nowhere), pytest.raises(states.ServerUnreachable, match="--engine inline"):
        prefect_flow.run(quick)
    assert not Path(quick.store).exists()
    update = model_updates.Update(name="small", weights="w", sha256="0", announced="")
    with temporary_settings(nowhere), pytest.raises(states.ServerUnreachable, match="the update was not sent"):
        update_events.emit(update)


def test_a_fault_on_the_device_is_not_laid_on_the_server(quick: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.scheduling import prefect_flow, states

    def fails_with(words: str) -> None:
        def failing(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError(words)

        monkeypatch.setattr(prefect_flow, "activation_atlas", failing)

    fails_with("CUDA error: device-side assert\nit may be reported at some other API call")
    with pytest.raises(RuntimeError, match="device-side assert"):
        prefect_flow.run(quick)
    fails_with("Failed to reach API at x")
    with pytest.raises(states.ServerUnreachable):
        prefect_flow.run(quick)


def test_an_event_says_which_weights_and_who_waits_for_them(client: Any) -> None:
    from flows.scheduling import update_events

    update = model_updates.Update(name="small", weights="/models/new.pt", sha256="0" * 64, announced="2026-01-01")
    assert update_events.emit(update) == []
    expected = ("actlas.run.small", update.payload())

    def arrived() -> bool:
        filters = {"filter": {"event": {"name": [model_updates.EVENT]}}}
        found = client.request("POST", "/events/filter", json=filters).json()["events"]
        return expected in [(event["resource"]["prefect.resource.id"], event["payload"]) for event in found]

    wait_for(arrived, 20, "the event to be written down")


def test_a_page_that_is_lost_costs_one_attempt_and_undoes_nothing(
    quick: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.scheduling import prefect_flow, run_report

    attempts = []

    def lost(**_: object) -> None:
        attempts.append(1)
        raise ConnectionError("no server")

    for name in ("create_progress_artifact", "create_markdown_artifact", "create_table_artifact"):
        monkeypatch.setattr(run_report, name, lost)
    assert prefect_flow.run(quick)["version"] == 1
    assert len(attempts) == 1
