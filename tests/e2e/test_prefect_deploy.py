"""`prefect deploy` of prefect.yaml as it is, to a real server; a worker runs it, and an old deployment fails in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import corpus, viewing
from support.prefect_server import Server, running

from flows.config import RunConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
VIEWER = "http://viewer:8400"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that prefect.yaml has been deployed to, as docs/schedules.md says."""
    with running(tmp_path_factory.mktemp("prefect")) as server:
        prefect(server, "work-pool", "create", "actlas", "--type", "process")
        prefect(server, "deploy", "--all")
        yield server


def prefect(server: Server, *words: str, folder: Path = ROOT) -> str:
    """Run a `prefect` command against the server."""
    path = os.pathsep.join([str(ROOT), server.environment["PYTHONPATH"]])
    environment = server.environment | {"PYTHONPATH": path, "ACTLAS_VIEWER_URL": VIEWER}
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *words],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def small(folder: Path) -> RunConfig:
    return corpus.config(corpus.write_images(folder / "images", 24), folder / "store", device="cpu")


def worked(server: Server, deployment: str, folder: Path, *words: str) -> Any:
    """Run a deployment once by a worker of its pool, and return the flow run."""
    from prefect.client.orchestration import SyncPrefectClient

    told = prefect(server, "deployment", "run", deployment, "--job-variable", f"working_dir={folder}", *words)
    run_id = next(word for word in told.replace("/", " ").split() if word.count("-") == 4 and len(word) == 36)
    prefect(server, "worker", "start", "--pool", "actlas", "--run-once", folder=folder)
    with SyncPrefectClient(server.address) as client:
        return client.read_flow_run(run_id)


def test_what_is_deployed_runs_and_its_page_leads_to_atlas_version_rejects_and_cost(
    deployed: Server, tmp_path: Path
) -> None:
    config = small(tmp_path)
    (tmp_path / "images/stripes/empty.png").write_bytes(b"")
    (tmp_path / "images/film.mp4").write_bytes(b"x")
    settings = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    run = worked(deployed, "actlas/nightly", tmp_path, "--params", json.dumps({"config": settings}))
    assert run.state.type.value == "COMPLETED", run.state.message
    page = looked_at(f"http://127.0.0.1:{deployed.port}/artifacts/key/small-report")
    assert "24 of 25 images used, 1 rejected" in page["text"]
    assert "1 video: extract frames as JPEG or PNG" in page["text"]
    assert f"{VIEWER}/small@1/run" in page["links"]
    assert f"{VIEWER}/small@1/atlas/features.5?grid=4" in page["links"]
    assert any(link.endswith("/artifacts/key/small-images") for link in page["links"])
    assert any(link.endswith("/artifacts/key/small-stages") for link in page["links"])
    Path(os.environ.get("ACTLAS_PICTURES", tmp_path), "prefect.png").write_bytes(page["picture"])


def looked_at(address: str) -> dict[str, Any]:
    """Return the text, the links and a picture of the artifact that a page of Prefect's lists first."""
    with viewing.browser() as chromium:
        page = chromium.new_page(viewport={"width": 1300, "height": 1000})
        page.goto(address)
        page.click('a[href*="/artifacts/artifact/"]', timeout=120_000)
        page.wait_for_selector("text=MB written", timeout=120_000)
        links = page.eval_on_selector_all("a[href]", "all => all.map((a) => a.href)")
        return {"text": page.inner_text("body"), "links": links, "picture": page.screenshot()}


def test_an_old_deployment_fails_in_one_line_that_says_what_to_do(deployed: Server, tmp_path: Path) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(deployed.address) as client:
        new = client.read_deployment_by_name("actlas/nightly")
        client.create_deployment(
            flow_id=new.flow_id,
            name="old",
            entrypoint="flows.prefect_flow.activation_atlas",
            work_pool_name="actlas",
            parameters=new.parameters,
            pull_steps=[],
        )
    run = worked(deployed, "actlas/old", tmp_path)
    assert run.state.type.value == "FAILED"
    assert "is now flows.scheduling.prefect_flow.activation_atlas: change it in prefect.yaml" in run.state.message
    assert "\n" not in run.state.message.strip()
