"""Modules run in forks of one process that has made the imports of a run, where the imports are not the subject.

    python -m support.warm SOCKET PID

serves until the process PID, that of the whole test session, is gone. A program made by `program` asks it to run a module,
with its own arguments, folder, variables and streams, and leaves with the exit code.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import random
import runpy
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support import forks

ROOT = Path(__file__).parents[2]
PROGRAM = """#!{python} -SE
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    asked = {{"module": {module!r}, "arguments": sys.argv, "folder": os.getcwd(), "variables": dict(os.environ)}}
    server.sendall(json.dumps(asked).encode() + b"\\n")
    code = server.recv(8)
sys.exit(int(code) if code else "the process that ran {module} has died")
"""


def program(factory: pytest.TempPathFactory, folder: Path, name: str, module: str) -> Path:
    """Write a program into a folder that runs a module in a fork, and return its path."""
    path = folder / name
    path.write_text(PROGRAM.format(python=sys.executable, address=str(_started(factory)), module=module))
    path.chmod(0o755)
    return path


def _started(factory: pytest.TempPathFactory) -> Path:
    """Return the socket of the one server of the session: whoever is first starts it."""
    in_worker = bool(os.environ.get("PYTEST_XDIST_WORKER"))
    base = factory.getbasetemp()
    folder = (base.parent if in_worker else base) / "warm"
    folder.mkdir(exist_ok=True)
    session = os.getppid() if in_worker else os.getpid()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "socket").exists():
            _start(folder / "socket", session)
    return folder / "socket"


def _start(address: Path, session: int) -> None:
    command = [sys.executable, "-m", "support.warm", str(address), str(session)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with (address.parent / "log").open("wb") as log:
        started = subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            cwd=address.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    while not address.exists():
        assert started.poll() is None, (address.parent / "log").read_text()
        time.sleep(0.02)


def serve(address: Path, session: int) -> None:
    """Make the imports, and fork for each that asks; who asks before waits."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{address}.new")
        server.listen(64)
        address.with_name(f"{address.name}.new").rename(address)
        for name in forks.IMPORTS:
            importlib.import_module(name)
        while _runs(session):
            if select.select([server], [], [], 1)[0]:
                asked, _ = server.accept()
                if os.fork() == 0:
                    server.close()
                    _answer(asked)
                asked.close()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _answer(asked: socket.socket) -> None:
    """Become the program that asked, run its module, send the exit code and end."""
    _, streams, _, _ = socket.recv_fds(asked, 1, 3)
    with asked.makefile("rb") as lines:
        told = json.loads(lines.readline())
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (open(n, "r" if n == 0 else "w", closefd=False) for n in range(3))  # noqa: SIM115
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["variables"])
    random.seed()
    code = _run(told)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    asked.sendall(str(code).encode())
    os._exit(code)


def _run(told: dict[str, Any]) -> int:
    sys.argv = told["arguments"]
    try:
        runpy.run_module(told["module"], run_name="__main__")
    except SystemExit as left:
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
            return 1
        return left.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
