"""Runs that repeat, end to end: `actlas serve` against a real server, killed, overtaken, and told of updates.

Slow: a schedule is waited for. The runs themselves take seconds (support/slow.py takes its time where that is wanted).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from support import corpus, slow
from support.prefect_server import Server, end, running, wait_for
from support.slow_server import slowed
from support.trees import strays, tree

from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.store.gc import gc
from storage.store.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


TRAINING = """
import sys
from flows import cli
for weights in sys.argv[1:]:
    assert cli.invoke(["model", "updated", "small", "--weights", weights, "--json"]) == 0
"""
"""What a training loop does that announces every checkpoint."""


@dataclass
class Served:
    """One run, the server it is served by, and what became of its flow runs."""

    folder: Path
    server: Server
    config: RunConfig
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return Store(Path(self.config.store))

    @property
    def log(self) -> str:
        return (self.folder / "serve.log").read_text()

    def settings(self) -> Path:
        """Write the run's settings to a file."""
        settings = self.config.model_dump(mode="json", by_alias=True, exclude_unset=True)
        file = self.folder / "run.toml"
        file.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items()))
        return file

    @contextmanager
    def serving(self, *options: str, seconds_per_batch: float = 0.0) -> Iterator[subprocess.Popen[bytes]]:
        """Run `actlas serve` for the length of the block."""
        command = [sys.executable, "-m", "flows.cli", "serve", "--config", str(self.settings()), *options]
        with (self.folder / "serve.log").open("wb") as log:
            environment = self.server.environment | {slow.SECONDS: str(seconds_per_batch)}
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(lambda: "serving " in self.log or process.poll() is not None, 120, "actlas serve to start")
            yield process
        finally:
            end(process)

    def runs(self, flow: str = "actlas") -> list[tuple[str, str]]:
        """Return name and message of the states of the flow runs that are due, oldest first."""
        from prefect.client.orchestration import SyncPrefectClient
        from prefect.client.schemas.filters import FlowFilter, FlowFilterName

        with SyncPrefectClient(self.server.address) as client:
            found = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])))
        due = sorted((run for run in found if run.state.name != "Scheduled"), key=lambda r: r.expected_start_time)
        return [(run.state.name, run.state.message or "") for run in due]

    def count(self, name: str, flow: str = "actlas") -> int:
        return [state for state, _ in self.runs(flow)].count(name)

    def updated(self, *files: Path) -> list[dict[str, Any]]:
        """Announce new weights one after the other, from one process of their own."""
        told = subprocess.run(
            [sys.executable, "-c", TRAINING, *map(str, files)],
            env=self.server.environment,
            capture_output=True,
            text=True,
        )
        assert told.returncode == 0, told.stderr
        return [json.loads(line) for line in told.stdout.splitlines()]

    def same_as_inline(self, **changes: Any) -> None:
        """Assert that the store holds what an undisturbed run makes, and nothing else."""
        whole = self.folder / "whole"
        for step in changes.pop("before", []):
            pipeline.run(self.config.model_copy(update={"store": str(whole)} | step), Inline())
        announced = self.store.version("small").about.get("weights", {}).get("announced")
        pipeline.run(self.config.model_copy(update={"store": str(whole)} | changes), Inline(), announced=announced)
        gc(self.store, older_than=0)
        assert not strays(self.store.root)
        assert tree(self.store.root) == tree(whole)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Served]:
    """A run of 48 images in three shards of two batches, and a server of its own."""
    images = corpus.write_images(tmp_path / "images", 48)
    config = corpus.config(images, tmp_path / "store", model="support.slow:net", until="cells")
    with running(tmp_path / "prefect") as server:
        yield Served(tmp_path, server, config)


def fine_tuned(file: Path, factor: float) -> Path:
    """Write weights whose second convolution was changed."""
    net = corpus.net()
    with torch.no_grad():
        net.features[3].weight.mul_(factor)
    torch.save(net.state_dict(), file)
    return file


def test_a_schedule_runs_by_itself_and_an_update_from_elsewhere_starts_one_regeneration(own: Served) -> None:
    with own.serving("--every", "15s", "--debounce", "60s"):
        wait_for(lambda: own.count("Completed") >= 3, 240, "three scheduled runs")
        messages = [message for state, message in own.runs() if state == "Completed"]
        assert "0 reused" in messages[0]
        assert all("0 results computed" in message for message in messages[1:])

        # checkpoint after checkpoint: the last one counts
        steps = [fine_tuned(own.folder / f"step-{number}.pt", 1 + number / 10) for number in range(1, 4)]
        last = steps[-1]
        assert [told["waiting"] for told in own.updated(*steps)] == [["actlas: regenerate small"]] * 3
        wait_for(lambda: own.count("Completed", "actlas-regenerate") >= 1, 300, "the regeneration")
        assert own.store.version("small").about["config"]["weights"] == str(last)
        before = own.count("Completed")
        wait_for(lambda: own.count("Completed") > before + 1, 120, "two more scheduled runs")
        assert len(own.runs("actlas-regenerate")) == 1
        # the schedule goes on with the new weights: nothing more was computed, and no version more was published
        assert "0 results computed" in own.runs()[-1][1] or own.runs()[-1][0] != "Completed"
        assert own.store.versions("small") == [1, 2]
    own.same_as_inline(before=[{}], weights=str(last))


def test_ctrl_c_in_the_middle_of_a_run_logs_no_error(own: Served) -> None:
    """As a terminal sends it: to every process of the group."""
    with own.serving("--every", "10s", seconds_per_batch=5) as process:
        wait_for(lambda: "- collect" in own.log, 240, "the first shard")
        os.killpg(process.pid, signal.SIGINT)
        process.wait(120)
    assert "stopped; the schedule stays" in own.log
    assert not [line for line in own.log.splitlines() if "ERROR" in line or "Traceback" in line]


def test_what_comes_too_early_is_left_out_and_stopping_pauses_nothing(own: Served) -> None:
    with own.serving("--every", "10s", seconds_per_batch=5) as process:
        wait_for(lambda: own.count("Completed") >= 1, 240, "a run longer than its interval")
        states = [state for state, _ in own.runs()]
        assert states.count("Cancelled") >= 2, states
        assert states.count("Running") + states.count("Pending") <= 1
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(180) == 0
    assert "stopped; the schedule stays" in own.log

    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(own.server.address) as client:
        deployments = {deployment.entrypoint: deployment for deployment in client.read_deployments()}
    scheduled = deployments["flows.scheduling.prefect_flow.activation_atlas"]
    assert not scheduled.paused
    assert [schedule.active for schedule in scheduled.schedules] == [True]
    done = own.count("Completed")
    with own.serving("--every", "10s"):
        wait_for(lambda: own.count("Completed") > done, 120, "a run after serving again")
        assert not own.count("Late") or own.count("Completed") > done
    own.same_as_inline()


@pytest.mark.parametrize("who", ["the run", "the run and its server process"])
def test_a_kill_in_the_middle_ends_in_the_same_bytes_after_the_next_run(who: str, own: Served) -> None:
    def shards() -> int:
        return len(own.store.results("collect"))

    with own.serving("--every", "20s", seconds_per_batch=3) as process:
        wait_for(lambda: shards() >= 2, 120, "the first shard")
        if who == "the run":
            os.kill(child_of(process.pid), signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL)
            for child in [child for child in [child_of(process.pid, 0)] if child]:
                os.kill(child, signal.SIGKILL)
            process.wait()
        killed_at = shards()
        if who == "the run":
            wait_for(lambda: own.count("Completed") >= 1, 180, "the next run")
    assert killed_at < 6
    if who != "the run":
        assert own.count("Running") == 1  # Prefect believes so, and its slot is taken
        with own.serving("--every", "20s"):
            wait_for(lambda: own.count("Completed") >= 1, 90, "the next run")
    assert own.count("Crashed") == 1
    assert own.count("Running") == 0
    own.same_as_inline()


def child_of(parent: int, otherwise: int | None = None) -> int:
    """Return the process of the flow run that a serving process has started."""
    found = Path(f"/proc/{parent}/task/{parent}/children")
    children = found.read_text().split() if found.exists() else []
    for child in children:
        if "prefect" in Path(f"/proc/{child}/cmdline").read_bytes().decode():
            return int(child)
    assert otherwise is not None, f"process {parent} has started no flow run: {children}"
    return otherwise


@pytest.mark.parametrize("how", ["restarted", "frozen"])
def test_a_run_outlives_a_server_that_is_restarted_or_frozen_in_its_middle(how: str, own: Served) -> None:
    with own.serving("--every", "1d", "--port", "1", seconds_per_batch=4):
        start(own)
        wait_for(lambda: own.store.results("collect"), 120, "the first shard")
        if how == "restarted":
            own.server.end(signal.SIGKILL)
            time.sleep(5)
            own.server.start()
        else:
            own.server.say(signal.SIGSTOP)
            time.sleep(20)
            own.server.say(signal.SIGCONT)
        wait_for(lambda: own.count("Completed") == 1, 240, "the run to finish")
    assert own.store.versions("small") == [1]
    own.same_as_inline()


def start(own: Served) -> None:
    """Start a run of the deployment now."""
    command = [sys.executable, "-m", "prefect", "deployment", "run", "actlas/small"]
    subprocess.run(command, env=own.server.environment, check=True, capture_output=True)


def test_a_server_that_never_comes_back_costs_the_page_and_not_the_run(own: Served) -> None:
    """A run from the command line goes on alone, and says that its version is published."""
    command = [sys.executable, "-m", "flows.cli", "run", "--config", str(own.settings())]
    environment = own.server.environment | {slow.SECONDS: "3", "PREFECT_CLIENT_MAX_RETRIES": "1"}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: own.store.results("collect"), 120, "the first shard")
    own.server.end(signal.SIGKILL)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    assert "small@1: 48 images used" in out
    assert "the version is published anyway" in err
    assert "Traceback" not in err
    own.same_as_inline()


def test_a_run_finishes_with_a_server_that_is_slow(own: Served) -> None:
    command = [sys.executable, "-m", "flows.cli", "run", "--config", str(own.settings())]
    with slowed(own.server.port, 2.0) as proxy:
        environment = own.server.environment | {"PREFECT_API_URL": f"http://127.0.0.1:{proxy.port}/api"}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert run.returncode == 0, run.stderr
    assert "small@1: 48 images used" in run.stdout
    assert "Traceback" not in run.stderr
    assert proxy.chunks > 20  # the mutant: who never asks is not slowed
    assert own.count("Completed") == 1
    own.same_as_inline()


def test_mutant_a_run_that_was_not_resumed_is_seen(own: Served) -> None:
    pipeline.run(own.config.model_copy(update={"limit": 16}), Inline())
    with pytest.raises(AssertionError):
        own.same_as_inline()
