"""A Prefect server of the tests' own: on a free loopback port, with a home of its own, started, killed and frozen at will."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

PATIENCE = 180.0

QUICK = {
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_RUNNER_POLL_FREQUENCY": "2",
    "DO_NOT_TRACK": "1",
}


@dataclass
class Server:
    """A server in a process of its own, whose database outlives the process."""

    home: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process needs to find this server."""
        tests = str(Path(__file__).parents[1])
        ours = {"PREFECT_API_URL": self.address, "PREFECT_HOME": str(self.home), "PYTHONPATH": tests}
        return os.environ | QUICK | self.settings | ours

    def start(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        log = (self.home / "server.log").open("ab")
        self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        log.close()
        wait_for(self.answers, PATIENCE, "the Prefect server to answer")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "server.log").read_text()[-2000:]
        try:
            return httpx.get(f"{self.address}/health", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and whatever it started."""
        if self.process is not None:
            end(self.process, how)
            self.process = None

    def say(self, how: signal.Signals) -> None:
        """Send it a signal: SIGSTOP makes it slow beyond measure, SIGCONT lets it go on."""
        assert self.process is not None
        os.killpg(self.process.pid, how)


@contextmanager
def running(home: Path, **settings: str) -> Iterator[Server]:
    """Run a server for the length of the block."""
    home.mkdir(parents=True, exist_ok=True)
    server = Server(home, free_port(), settings)
    try:
        server.start()
        yield server
    finally:
        server.end()


def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """End a process that leads its group, and the group; for good if it doesn't go."""
    if process.poll() is None:
        os.killpg(process.pid, how)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition: object, seconds: float, what: str, every: float = 0.2) -> None:
    """Wait until a function of no arguments says yes."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(every)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
