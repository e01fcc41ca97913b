"""Compose files without Docker: read as Compose reads them, and each container's command run as a process of this machine.

Names of containers become loopback addresses, ports become free ones, and folders of the image become folders here. What
is run, with which settings, in which order and after which checks, is what the file says.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from support.prefect_server import end

CONFINE = [
    "unshare",
    "-m",
    "sh",
    "-c",
    'mount -t tmpfs tmpfs /tmp && mount --bind "$0" "$0" && mount -o remount,bind,ro / && cd "$0" && exec "$@"',
]
UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
"""What `read_only`, `tmpfs`, `cap_drop` and `no-new-privileges` come to; the first argument is the folder to write to."""

WITH_SECRETS = Path(__file__).parents[2] / "docker" / "with-secrets.sh"
"""The entry point of our image."""

VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-?])([^}]*))?\})")


def load(file: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Read a compose file: anchors merged, variables filled in. Raises KeyError for one that must be given."""
    read: dict[str, Any] = fill(yaml.safe_load(file.read_text()), environment)
    return read


def fill(value: Any, environment: Mapping[str, str]) -> Any:
    """Fill in `${NAME}`, `${NAME:-default}` and `${NAME:?message}`; `$$` is a dollar."""
    if isinstance(value, dict):
        return {name: fill(item, environment) for name, item in value.items()}
    if isinstance(value, list):
        return [fill(item, environment) for item in value]
    return VARIABLE.sub(lambda found: _value(found, environment), value) if isinstance(value, str) else value


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    name, how, rest = found.groups()
    if name is None:
        return "$"
    if given := environment.get(name):
        return given
    if how == ":-":
        return str(rest)
    if how == ":?":
        raise KeyError(f"{name}: {rest}")
    return ""


def write_secrets(folder: Path, secrets: Mapping[str, str]) -> Path:
    """Write secrets as Compose mounts them, each a file that every user of a container can read."""
    folder.mkdir(mode=0o755)
    for name, text in secrets.items():
        (folder / name).write_text(text + "\n")
    return folder


def variables(text: str) -> set[str]:
    """Return the names of all variables in a compose file."""
    return {found[1] for found in VARIABLE.finditer(text) if found[1]}


@dataclass
class Machine:
    """This machine in the part of all containers. `instead` says what stands for what."""

    services: dict[str, Any]
    folder: Path
    instead: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    @functools.cached_property
    def confines(self) -> bool:
        try:
            return (
                subprocess.run([*CONFINE, str(self.folder), *UNPRIVILEGED, "true"], capture_output=True).returncode == 0
            )
        except FileNotFoundError:
            return False

    def here(self, value: Any) -> Any:
        """Translate what is said of a container into what holds on this machine."""
        if isinstance(value, list):
            return [self.here(item) for item in value]
        text = str(value)
        for there in sorted(self.instead, key=len, reverse=True):
            text = text.replace(there, self.instead[there])
        return text

    def entry(self, name: str) -> list[str]:
        """Return a container's command as its image starts it."""
        ours = "actlas" in self.services[name].get("image", "")
        return [*([str(WITH_SECRETS)] if ours else []), *self.here(self.services[name]["command"])]

    def environment(self, name: str) -> dict[str, str]:
        """Return a container's settings, with nothing of ours but what finds programs and modules."""
        kept = {key: os.environ[key] for key in ("LANG", "OMP_NUM_THREADS") if key in os.environ}
        path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.folder)}
        prefect = {"PREFECT_HOME": str(self.folder / f"home-{name}"), "DO_NOT_TRACK": "1"}
        prefect["PREFECT_UI_STATIC_DIRECTORY"] = str(self.folder / f"home-{name}" / "ui")
        said = self.services[name].get("environment", {})
        here = {key: "127.0.0.1" if key.endswith("_HOST") else self.here(item) for key, item in said.items()}
        return kept | path | prefect | here

    def up(self, name: str, patience: float = 900) -> None:
        """Start a container after those it depends on, and wait until it is what they wait for: healthy, or done."""
        if name in self.processes or name in self.done:
            return
        for other in self.services[name].get("depends_on", {}):
            self.up(other)
        log = (self.folder / f"{name}.log").open("wb")
        command = self.entry(name)
        self.processes[name] = subprocess.Popen(
            self.confined(name, command),
            env=self.environment(name),
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=self.folder,
        )
        log.close()
        self._wait(name, patience)

    def _wait(self, name: str, patience: float) -> None:
        deadline, process = time.monotonic() + patience, self.processes[name]
        waits = {o["depends_on"][name]["condition"] for o in self.services.values() if name in o.get("depends_on", {})}
        finishes = "service_completed_successfully" in waits
        while not (process.poll() == 0 if finishes else self.healthy(name)):
            assert time.monotonic() < deadline, f"{name} is not well after {patience:.0f} s: {self.log(name)}"
            assert process.poll() in ((None, 0) if finishes else (None,)), f"{name} ended: {self.log(name)}"
            time.sleep(1)
        if finishes:
            self.done.add(name)

    def healthy(self, name: str) -> bool:
        """Run a container's health check; one without any is healthy as long as it runs."""
        check = self.services[name].get("healthcheck", {}).get("test")
        if check is None:
            return self.processes[name].poll() is None
        command = ["/bin/sh", "-c", check[1]] if check[0] == "CMD-SHELL" else check[1:]
        ran = subprocess.run(
            self.confined(name, self.here(command)), env=self.environment(name), capture_output=True, timeout=300
        )
        return ran.returncode == 0

    def confined(self, name: str, command: list[str]) -> list[str]:
        """Return a command as a read-only container runs it: nothing to write to but its folders and /tmp, no privilege.

        Where this is not permitted, it runs as it is.
        """
        confine = self.confines and self.services[name].get("read_only")
        return [*CONFINE, str(self.folder), *UNPRIVILEGED, *command] if confine else command

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def kill(self, name: str) -> None:
        """Kill a container: all its processes at once, also those that lead groups of their own."""
        process = self.processes.pop(name)
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            one.kill()
        process.wait()

    def down(self) -> None:
        for process in reversed(self.processes.values()):
            end(process)


@contextmanager
def machine(services: dict[str, Any], folder: Path, instead: dict[str, str]) -> Iterator[Machine]:
    """Be the containers for the length of the block; if it fails, print what they said."""
    made = Machine(services, folder, instead)
    try:
        yield made
    except BaseException:
        for name in made.processes:
            print(f"--- {name}\n{made.log(name)}")
        raise
    finally:
        made.down()


def program(name: str) -> str | None:
    """Find a program, also where Debian keeps PostgreSQL's."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(debian[-1]) if debian else None)
