"""A server for one run: it ends with the run, and one that cannot start is said in one line as soon as it has ended."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from support import corpus
from support.prefect_server import wait_for

from flows import launch
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline, SomethingToCompute, Stored
from flows.planning.tasks import Output, Task
from flows.scheduling import named_server, prefect_flow, prefect_home, server, temporary_server
from flows.scheduling.states import ServerUnreachable
from storage.store.store import Store

WELL = """
import http.server, sys, threading
class Well(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Well)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
"""
"""Stands in for Prefect's server, which takes ten seconds to start."""


@pytest.fixture
def home(tmp_path: Path) -> Any:
    with temporary_settings({PREFECT_HOME: tmp_path / "home"}):
        yield tmp_path / "home"


def standing_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(temporary_server, "COMMAND", [sys.executable, "-c", program])


def test_clients_are_directed_to_it_and_it_ends_with_the_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[subprocess.Popen[str]] = []
    start = temporary_server._start
    monkeypatch.setattr(temporary_server, "_start", lambda log: processes.append(start(log)) or processes[0])
    standing_in(monkeypatch, WELL)
    with temporary_server.running() as address:
        assert PREFECT_API_URL.value() == named_server.address() == address
        assert address.startswith("http://127.0.0.1:")
        assert processes[0].poll() is None
    assert processes[0].returncode == 0


def test_it_ends_when_this_process_is_killed(home: Path) -> None:
    """Its standard input is closed then, whatever became of this process."""
    with (home.parent / "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, "-c", WELL], stdin=subprocess.PIPE, stdout=log, text=True)
        assert process.stdin is not None
        process.stdin.close()
        wait_for(lambda: process.poll() is not None, 20, "the server to end")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("raise SystemExit(3)", "its process ended with code 3"),
        ("import sys; print('no such thing', file=sys.stderr); sys.exit(1)", "ended with code 1: no such thing"),
        (
            "print(1, flush=True); raise ValueError('see https://user:password@db/x')",
            r"ValueError: see https://\*\*\*@db/x",
        ),
    ],
)
def test_one_that_ends_is_said_at_once(home: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: str) -> None:
    """Were it waited for, the test would take the two minutes that a server may take."""
    standing_in(monkeypatch, program)
    monkeypatch.setattr(temporary_server, "PATIENCE", 250.0)
    with (
        pytest.raises(ServerUnreachable, match=f"did not start \\(.*{words}.*--engine inline") as refused,
        temporary_server.running(),
    ):
        pass
    assert "\n" not in str(refused.value)


def test_one_that_never_answers_is_ended(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standing_in(monkeypatch, "import time; print(1, flush=True); time.sleep(600)")
    monkeypatch.setattr(temporary_server, "PATIENCE", 0.3)
    monkeypatch.setattr(temporary_server, "ENDS", 0.1)
    with pytest.raises(ServerUnreachable, match="no answer within 0 s"), temporary_server.running():
        pass


def garbage(home: Path) -> None:
    home.mkdir()
    (home / "prefect.db").write_text("garbage" * 100)


def a_file(home: Path) -> None:
    home.write_text("")


def a_folder(home: Path) -> None:
    (home / "prefect.db").mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "words"), [(garbage, "not a database"), (a_file, "File exists"), (a_folder, "unable to open database")]
)
def test_a_home_that_cannot_be_used_is_said_before_a_server_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch, spoil: Any, words: str
) -> None:
    """By both kinds of servers of ours."""
    spoil(home)
    monkeypatch.setattr(temporary_server, "_start", lambda log: pytest.fail("a server was started"))
    monkeypatch.setattr(server, "_serve", lambda running: pytest.fail("a server was started"))
    for start in (temporary_server.running(), server._own_server("127.0.0.1", 1)):
        with pytest.raises(ServerUnreachable, match=f"{words}.*PREFECT_HOME"), start:
            pass


def test_a_home_in_use_or_new_is_no_hindrance(home: Path) -> None:
    prefect_home.check()
    with sqlite3.connect(home / "prefect.db") as other:
        other.execute("BEGIN IMMEDIATE")
        prefect_home.check()
    other.close()


def test_a_run_with_nothing_to_compute_starts_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is published by the inline engine; with something to compute, or a standing server, it is a flow."""
    flows: list[str] = []
    monkeypatch.setattr(prefect_flow, "run", lambda config, **_: flows.append(config.until) or {})
    monkeypatch.setattr(named_server, "address", lambda: None)
    config = corpus.config(corpus.write_images(tmp_path / "images", 8), tmp_path / "store", until="collect")
    launch.run(config)
    assert flows == ["collect"]
    pipeline.run(config, Inline())
    assert launch.run(config)["computed"] == 0
    assert Store(tmp_path / "store").versions("small") == [1]
    launch.run(config.model_copy(update={"until": "patches"}))
    monkeypatch.setattr(named_server, "address", lambda: "http://server:4200/api")
    launch.run(config)
    assert flows == ["collect", "patches", "collect"]


def test_mutant_an_engine_without_results_says_so() -> None:
    assert Stored().run([]) == []
    with pytest.raises(SomethingToCompute, match="cells"):
        Stored().run([Task(stage="cells", store="s", outputs=(Output(stage="cells", key="0"),))])
