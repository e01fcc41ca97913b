"""Run the flow on a Dask cluster: each stage is one Prefect task in the flow's process, which submits the shards.

The futures are plain Dask: a worker that ran Prefect tasks would call the server for each shard, or start one where none
is configured. So the flow has a plain Dask client instead of a task runner.
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


def run(config: RunConfig, report: RunReport, spec: str, **settings: Any) -> summary.Summary:
    """Run the pipeline on the cluster that `spec` names; `settings` are those of pipeline.run."""
    with cluster_engine.on(spec, config.store) as cluster:
        config = cluster.resolve_device(config)
        tags = [] if cluster.counts_gpus else gpu_tags(config)
        return pipeline.run(config, PrefectOnDask(report, cluster, tags), **settings)


class PrefectOnDask:
    """Run the tasks of a stage on the cluster, and report their progress.

    `tags` are for the stages that run the model: limits on them hold for all runs of the server.
    """

    here = False

    def __init__(self, report: RunReport, cluster: cluster_engine.OnDask, tags: Iterable[str] = ()) -> None:
        self.report, self.cluster, self.tags = report, cluster, list(tags)

    def run(self, tasks: Iterable[Task]) -> list[Outcome]:
        tasks = list(tasks)
        if not tasks:
            return []
        stage = tasks[-1].stage
        artifact = self.report.start(stage)

        tags = self.tags if registry.stage(stage).gpu else []

        @task(name=stage, task_run_name=stage, tags=tags, cache_policy=NO_CACHE, persist_result=False)
        def fan_out() -> list[Outcome]:
            return self.cluster.run(tasks, lambda done, total: self.report.advance(artifact, done, total))

        return fan_out()
