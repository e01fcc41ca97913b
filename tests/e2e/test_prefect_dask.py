"""A Prefect flow on Dask workers: the bytes of an inline run, one Prefect task a stage, and only the flow speaks to Prefect."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import corpus
from support.trees import tree

from flows import pipeline
from flows.engines import Inline


@pytest.mark.usefixtures("server")
def test_a_flow_hands_its_shards_to_dask(tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client

    from flows import prefect_flow

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
