"""A PostgreSQL of the tests' own: on a free loopback port, behind a password, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.compose import program
from support.prefect_server import end, free_port, wait_for


@contextmanager
def postgres(password: str) -> Iterator[int]:
    """Run PostgreSQL with a database `prefect` behind a password; yield its port."""
    initdb, server, psql = program("initdb"), program("postgres"), program("psql")
    if not (initdb and server and psql):
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder, port = Path(tempfile.mkdtemp(prefix="actlas-postgres-")), free_port()
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    secret = folder / "password"
    secret.write_text(password)
    secret.chmod(0o644)
    data = folder / "data"
    make = [initdb, "-D", str(data), "-U", "prefect", "-A", "scram-sha-256", "--pwfile", str(secret), "--no-sync"]
    subprocess.run([*user, *make], check=True, capture_output=True, cwd="/")
    where = ["-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*user, server, *where], stdout=log, stderr=log, start_new_session=True, cwd="/")
    try:
        ask = [
            psql,
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-U",
            "prefect",
            "-d",
            "postgres",
            "-c",
            "create database prefect",
        ]
        secretly = os.environ | {"PGPASSWORD": password}
        wait_for(lambda: subprocess.run(ask, env=secretly, capture_output=True).returncode == 0, 60, "PostgreSQL", 0.5)
        yield port
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)
