"""The containers' commands outside containers: the compose files' own settings, order and health checks, on this machine.

PostgreSQL and Redis are real, and started and stopped here. Run by `make test-services`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support import compose, corpus, slow
from support.compose import Machine, machine
from support.postgres import postgres
from support.prefect_server import free_port, wait_for
from support.trees import tree

from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.store.gc import gc
from storage.store.store import Store

pytestmark = [pytest.mark.services, pytest.mark.timeout(3000)]

ROOT = Path(__file__).parents[2]
SECRETS = {
    "postgres_password": "postgres-secret",
    "redis_password": "redis-secret",
    "prefect_auth": "admin:prefect-secret",
    "actlas_token": "viewer-secret-token",
}
TESTS = str(ROOT / "tests")


@dataclass
class Stack:
    """The machine that plays all containers, and what is run on it."""

    machine: Machine
    config: RunConfig
    api: str

    def cli(self, *command: str, auth: str | None = SECRETS["prefect_auth"]) -> subprocess.CompletedProcess[str]:
        """Run a command as somebody would who is logged in at the machine."""
        asks = {"PREFECT_API_URL": self.api, "PREFECT_HOME": str(self.machine.folder / "home-cli")}
        asks |= {"PREFECT_API_AUTH_STRING": auth} if auth else {}
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        return subprocess.run(command, env=os.environ | path | asks, capture_output=True, text=True, timeout=600)

    def states(self, flow: str) -> list[str]:
        """Return the names of the states of a flow's runs that are over or under way."""
        due = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
        runs = self.ask("/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}, "flow_runs": due})
        return [str(run["state_name"]) for run in runs]

    def ask(self, path: str, body: Any, auth: str | None = SECRETS["prefect_auth"]) -> Any:
        import httpx

        user, _, password = (auth or ":").partition(":")
        with httpx.Client(auth=(user, password) if auth else None, timeout=60) as client:
            token = {}
            if auth:
                given = client.get(f"{self.api}/csrf-token", params={"client": "tests"})
                token = {"Prefect-Csrf-Token": given.json()["token"], "Prefect-Csrf-Client": "tests"}
            answer = client.post(f"{self.api}{path}", json=body, headers=token)
            answer.raise_for_status()
            return answer.json() if answer.content else None

    def same_as_inline(self, steps: list[dict[str, Any]]) -> None:
        whole = self.machine.folder / "whole"
        announced = Store(Path(self.config.store)).version("photos").about.get("weights", {}).get("announced")
        for step in steps:
            pipeline.run(self.config.model_copy(update={"store": str(whole)} | step), Inline(), announced=announced)
        assert tree(Path(self.config.store)) == tree(whole)


def folders(ground: Path) -> RunConfig:
    """Make the folders that containers mount, and the run that is made in them."""
    images = corpus.write_images(ground / "data" / "images", 24)
    for name in ("store", "models"):
        (ground / "data" / name).mkdir()
    net = corpus.net()
    with torch.no_grad():
        net.features[3].weight.mul_(1.2)
    torch.save(net.state_dict(), ground / "data" / "models" / "new.pt")
    return corpus.config(images, ground / "data" / "store", until="cells", name="photos")


def instead_of(ground: Path, **ports: int) -> dict[str, str]:
    """Return what stands on this machine for containers' addresses and folders."""
    hosts = {f"{name}:{default}": f"127.0.0.1:{ports[name]}" for name, default in DEFAULTS.items() if name in ports}
    loose = {f"127.0.0.1:{DEFAULTS[name]}": f"127.0.0.1:{port}" for name, port in ports.items()}
    bare = {str(DEFAULTS[name]): str(port) for name, port in ports.items()}
    secrets = ground / "secrets"
    if not secrets.exists():
        compose.write_secrets(secrets, SECRETS)
    named = {"/data": str(ground / "data"), "/run/secrets": str(secrets), "with-secrets": str(compose.WITH_SECRETS)}
    return hosts | loose | bare | named | {"0.0.0.0": "127.0.0.1"}


DEFAULTS = {"postgres": 5432, "redis": 6379, "server": 4200, "worker": 8080, "viewer": 8400}


@pytest.fixture
def stack(ground: Path, redis: str) -> Iterator[Stack]:
    """Everything of compose.yaml, in its order."""
    config = folders(ground)
    with postgres(SECRETS["postgres_password"]) as database:
        ports = {name: free_port() for name in DEFAULTS} | {"postgres": database}
        instead = instead_of(ground, **ports) | {"/opt/actlas/deploy/deploy.sh": str(ROOT / "docker" / "deploy.sh")}
        given = {"ACTLAS_IMAGES": config.images, "ACTLAS_MODELS": str(ground / "data" / "models")}
        services = compose.load(ROOT / "docker" / "compose.yaml", given)["services"]
        del services["postgres"]
        services["server"]["depends_on"].pop("postgres")
        services["deploy"]["environment"]["ACTLAS_DEPLOYMENTS"] = str(project(ground))
        services["worker"]["environment"]["PYTHONPATH"] = TESTS  # the small model is the tests' own
        services["viewer"]["command"] = ["actlas", *services["viewer"]["command"][1:]]
        with machine(services, ground, instead) as made:
            yield Stack(made, config, f"http://127.0.0.1:{ports['server']}/api")


def project(ground: Path) -> Path:
    """Write prefect.yaml as it is, but for its folders: those of this machine."""
    read = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    text = yaml.safe_dump(read).replace("/data", str(ground / "data"))
    file = ground / "prefect.yaml"
    file.write_text(text)
    return file


def test_the_teams_stack_deploys_runs_and_regenerates(stack: Stack) -> None:
    for name in ("worker", "services", "viewer"):
        stack.machine.up(name)
    assert stack.machine.done == {"deploy"}

    settings = stack.config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    ran = stack.cli("prefect", "deployment", "run", "actlas/nightly", "--params", json.dumps({"config": settings}))
    assert ran.returncode == 0, ran.stderr
    wait_for(lambda: "Completed" in stack.states("actlas"), 240, "the run", 1)
    assert Store(Path(stack.config.store)).versions("photos") == [1]

    weights = Path(stack.config.store).parent / "models" / "new.pt"
    told = stack.cli("actlas", "model", "updated", "photos", "--weights", str(weights))
    assert told.returncode == 0, told.stderr
    wait_for(lambda: "Completed" in stack.states("actlas-regenerate"), 240, "the regeneration", 1)
    assert stack.states("actlas-regenerate") == ["Completed"]
    stack.same_as_inline([{}, {"weights": str(weights)}])

    again = subprocess.run(
        stack.machine.confined("deploy", stack.machine.entry("deploy")),
        env=stack.machine.environment("deploy"),
        cwd=stack.machine.folder,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    found = stack.ask("/automations/filter", {})
    assert sorted(automation["name"] for automation in found) == [
        "actlas: regenerate *",
        "actlas: runs that fell silent",
    ]


def test_a_killed_worker_costs_one_run_and_the_next_makes_the_same_bytes(stack: Stack) -> None:
    """Nobody is left who could say that the run is over; its silence does, and frees its slot."""
    config = stack.config.model_copy(update={"model": "support.slow:net"})
    settings = json.dumps({"config": config.model_dump(mode="json", by_alias=True, exclude_unset=True)})
    environment = stack.machine.services["worker"]["environment"]
    environment[slow.SECONDS] = "10"
    for name in ("worker", "services"):
        stack.machine.up(name)
    run = ("prefect", "deployment", "run", "actlas/nightly", "--params", settings)
    assert stack.cli(*run).returncode == 0
    store = Store(Path(config.store))
    wait_for(lambda: store.results("collect"), 240, "the first shard")
    stack.machine.kill("worker")
    assert len(store.results("collect")) < 2 * len(config.layers)
    assert stack.states("actlas") == ["Running"]

    environment[slow.SECONDS] = "0"
    stack.machine.up("worker")
    wait_for(lambda: stack.states("actlas") == ["Crashed"], 400, "the killed run to be called so", 1)
    assert stack.cli(*run).returncode == 0
    wait_for(lambda: "Completed" in stack.states("actlas"), 240, "the next run", 1)
    gc(store, older_than=0)
    Stack(stack.machine, config, stack.api).same_as_inline([{}])


def test_the_server_lets_nobody_in_without_the_password(stack: Stack) -> None:
    import httpx

    stack.machine.up("server")
    for auth in (None, ("admin", "wrong")):
        for path in ("/admin/settings", "/admin/version", "/csrf-token?client=tests"):
            assert httpx.get(f"{stack.api}{path}", auth=auth).status_code == 401
    with pytest.raises(httpx.HTTPStatusError, match=r"40[13]"):
        stack.ask("/flow_runs/filter", {}, auth=None)
    update = ("actlas", "model", "updated", "photos", "--weights", str(ROOT / "README.md"))
    told = stack.cli(*update, auth=None)
    assert (told.returncode, "401" in told.stderr) == (1, True)
    assert stack.cli(*update).returncode == 0


def test_a_server_process_that_is_killed_loses_no_lease_and_no_run(stack: Stack) -> None:
    """Redis keeps who holds a slot: in memory, a restart would cancel the run that holds it."""
    stack.machine.up("server")
    asked = {"names": ["gpu"], "slots": 1, "mode": "concurrency", "lease_duration": 300}
    stack.ask("/v2/concurrency_limits/", {"name": "gpu", "limit": 1})
    lease = stack.ask("/v2/concurrency_limits/increment-with-lease", asked)["lease_id"]
    stack.machine.processes.pop("server").kill()
    time.sleep(2)
    stack.machine.up("server")
    stack.ask(f"/v2/concurrency_limits/leases/{lease}/renew", {"lease_duration": 300})


def test_one_machines_stack_runs_on_its_schedule(ground: Path) -> None:
    config = folders(ground)
    ports = {"server": free_port(), "viewer": free_port()}
    file = ground / "run.toml"
    given = {"ACTLAS_IMAGES": config.images, "ACTLAS_MODELS": "/", "ACTLAS_CRON": "* * * * *"}
    given |= {"ACTLAS_CONFIG": str(file)}
    services = compose.load(ROOT / "docker" / "compose.lite.yaml", given)["services"]
    settings = config.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"images", "store", "name"})
    file.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items()))
    services["serve"]["environment"]["PYTHONPATH"] = TESTS
    with machine(services, ground, instead_of(ground, **ports)) as made:
        made.up("serve")
        stack = Stack(made, config, f"http://127.0.0.1:{ports['server']}/api")
        wait_for(lambda: "Completed" in stack.states("actlas"), 180, "the first minute", 1)
        assert Store(Path(config.store)).versions("photos") == [1]
        made.up("viewer")
        with pytest.raises(urllib.error.HTTPError, match=r"40[13]"):
            urllib.request.urlopen(f"http://127.0.0.1:{ports['viewer']}/", timeout=10)


def test_the_image_installs_what_its_file_says(ground: Path) -> None:
    """The wheel of what is copied into the image has every package, and the viewer's built page where there is one."""
    source = ground / "src"
    for name in ("atlas", "storage", "flows", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name, **({"ignore": BUILT} if (ROOT / name).is_dir() else {}))
    built = source / "flows" / "viewer" / "built"
    built.mkdir(exist_ok=True)
    (built / "files.json").write_text("{}")
    make = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(ground / "wheel"), str(source)]
    made = subprocess.run(make, capture_output=True, text=True)
    if "Could not find a version" in made.stderr:
        pytest.skip("no registry to fetch the build's own tools from")
    assert made.returncode == 0, made.stderr
    wheel = next((ground / "wheel").glob("*.whl"))
    listed = subprocess.run([sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True).stdout
    for module in (ROOT / "flows").rglob("*.py"):
        assert str(module.relative_to(ROOT)) in listed, module
    assert "flows/viewer/built/files.json" in listed


BUILT = shutil.ignore_patterns("__pycache__", "node_modules", "built", "built.*", "web")
