"""A Prefect flow on Dask workers: the bytes of an inline run, one Prefect task a stage, and only the flow speaks to Prefect."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect.runtime import flow_run
from support import corpus, forks
from support.trees import tree

from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.planning.tasks import Output, Task


@pytest.mark.usefixtures("server")
def test_a_flow_hands_its_shards_to_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client

    from flows.cluster import local_workers
    from flows.scheduling import prefect_flow

    monkeypatch.setattr(local_workers, "_spawn", forks.context())
    images = corpus.write_images(tmp_path / "images")
    quick = {"until": "collect", "name": "dasked"}
    pipeline.run(corpus.config(images, tmp_path / "inline", **quick), Inline())
    summary = prefect_flow.run(corpus.config(images, tmp_path / "dask", **quick), dask="local:2")
    assert summary["version"] == 1
    assert tree(tmp_path / "dask") == tree(tmp_path / "inline")
    with get_client(sync_client=True) as client:
        flow = next(run for run in client.read_flow_runs() if run.name == "dasked")
        names = [run.name for run in client.read_task_runs() if run.flow_run_id == flow.id]
    assert flow.parameters["dask"] == "local:2"
    assert names == ["collect"], "four shards, one task: what Dask does is not Prefect's to count"


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("counted", [True, False])
def test_the_limit_on_gpus_holds_where_dask_counts_none(counted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client

    from flows.scheduling import on_cluster
    from flows.scheduling.run_report import RunReport
    from flows.scheduling.states import GPU_TAG

    cluster = SimpleNamespace(resolve_device=lambda c: c, counts_gpus=counted, run=lambda works, advance: [])
    monkeypatch.setattr(on_cluster.cluster_engine, "on", lambda spec, store: nullcontext(cluster))
    monkeypatch.setattr(on_cluster.pipeline, "run", lambda config, engine, wait: engine)
    config = corpus.config(Path("images"), Path("store"), device="cuda")

    @flow(name=f"gpus-{counted}", persist_result=False)
    def two_stages() -> str:
        engine = on_cluster.run(config, RunReport(), "local:2", wait=False)
        for stage in ("icon_parts", "layout"):
            engine.run([Task(stage=stage, store="s", outputs=(Output(stage=stage, key="k"),))])
        return str(flow_run.id)

    mine = two_stages()
    with get_client(sync_client=True) as client:
        tags = {run.name: run.tags for run in client.read_task_runs() if str(run.flow_run_id) == mine}
    assert tags == {"icon_parts": [] if counted else [GPU_TAG], "layout": []}
