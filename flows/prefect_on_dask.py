"""The same flow on a Dask cluster: each stage one Prefect task of the flow's process, which hands out its shards.

The futures are plain: a worker that ran Prefect's tasks would speak to the server for each shard, or, where none is
configured, start one of its own. So the client is a plain one inside the flow, and not a task runner.
"""

from __future__ import annotations

from collections.abc import Iterable

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import dask_engine, pipeline
from flows.config import RunConfig
from flows.page import Page
from flows.work import Outcome, Work


def run(config: RunConfig, page: Page, spec: str, *, wait: bool) -> pipeline.Summary:
    """Run the pipeline on the cluster that `spec` names."""
    with dask_engine.on(spec, config.store) as cluster:
        return pipeline.run(cluster.settled(config), PrefectOnDask(page, cluster), wait=wait)


class PrefectOnDask:
    """Run the tasks of a stage on the cluster, and show how far they are."""

    here = False

    def __init__(self, page: Page, cluster: dask_engine.OnDask) -> None:
        self.page, self.cluster = page, cluster

    def run(self, works: Iterable[Work]) -> list[Outcome]:
        works = list(works)
        if not works:
            return []
        stage = works[-1].stage
        artifact = self.page.start(stage)

        @task(name=stage, task_run_name=stage, cache_policy=NO_CACHE, persist_result=False)
        def fan_out() -> list[Outcome]:
            return self.cluster.run(works, lambda done, total: self.page.advance(artifact, done, total))

        return fan_out()
