"""The same flow on a Dask cluster: each stage one Prefect task of the flow's process, which hands out its shards.

The futures are plain: a worker that ran Prefect's tasks would speak to the server for each shard, or, where none is
configured, start one of its own. So the client is a plain one inside the flow, and not a task runner.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import registry
from flows.cluster import engine as cluster_engine
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline import summary
from flows.planning.tasks import Outcome, Task
from flows.scheduling.run_report import RunReport
from flows.scheduling.states import gpu_tags


def run(config: RunConfig, page: RunReport, spec: str, **settings: Any) -> summary.Summary:
    """Run the pipeline on the cluster that `spec` names; `settings` are those of pipeline.run."""
    with cluster_engine.on(spec, config.store) as cluster:
        settled = cluster.settled(config)
        tags = [] if cluster.counts_gpus else gpu_tags(settled)
        return pipeline.run(settled, PrefectOnDask(page, cluster, tags), **settings)


class PrefectOnDask:
    """Run the tasks of a stage on the cluster, and show how far they are.

    `tags` are of the stages that run the model, for limits that hold over all runs of the server.
    """

    here = False

    def __init__(self, page: RunReport, cluster: cluster_engine.OnDask, tags: Iterable[str] = ()) -> None:
        self.page, self.cluster, self.tags = page, cluster, list(tags)

    def run(self, tasks: Iterable[Task]) -> list[Outcome]:
        tasks = list(tasks)
        if not tasks:
            return []
        stage = tasks[-1].stage
        artifact = self.page.start(stage)

        tags = self.tags if registry.stage(stage).gpu else []

        @task(name=stage, task_run_name=stage, tags=tags, cache_policy=NO_CACHE, persist_result=False)
        def fan_out() -> list[Outcome]:
            return self.cluster.run(tasks, lambda done, total: self.page.advance(artifact, done, total))

        return fan_out()
