"""Tasks on a Dask cluster: the bytes of an inline run, whoever dies; and one line about what can't work."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import logging
import os
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import distributed
import psutil
import pytest
import torch
from distributed.comm.core import CommClosedError
from distributed.utils import get_mp_context
from support import corpus, forks, odd_models, slow_net
from support.trees import strays, tree

from flows import cores, launch, progress
from flows.cluster import engine as cluster_engine
from flows.cluster import worker as cluster_worker
from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.planning.tasks import Task
from storage.errors import ModelError, UsageError


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("corpus") / "images")


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tree of an inline run."""
    store = tmp_path_factory.mktemp("inline")
    pipeline.run(corpus.config(images, store, until="collect"), Inline())
    return tree(store)


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    """Two workers at an address, of a scheduler that gives a task up when one worker has died with it."""
    forked = {"distributed.worker.multiprocessing-method": "forkserver"}
    with dask.config.set(forked):
        get_mp_context()  # once names what Dask would have forks import
    forks.context()
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0} | forked),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=50,
        ) as made,
    ):
        yield made


def run(address: str, images: Path, store: Path, **changes: object) -> dict[str, Any]:
    with cluster_engine.on(address, str(store)) as engine:
        return pipeline.run(corpus.config(images, store, until="collect", **changes), engine).as_dict()


def test_workers_at_an_address_make_the_bytes_of_an_inline_run(
    cluster: distributed.LocalCluster, images: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    shown = io.StringIO()
    with progress.reporting(progress.Reporter(shown)):
        run(cluster.scheduler_address, images, tmp_path)
    assert tree(tmp_path) == whole
    assert not strays(tmp_path)
    assert "collect: 60 images in" in shown.getvalue()
    with distributed.Client(cluster) as client:
        loaded = client.run(lambda: __import__("sys").modules.keys() & {"prefect", "prefect_dask"})
        assert not any(loaded.values())  # or each worker could start a server of its own
        assert set(client.run(torch.get_num_threads).values()) == {1}


def test_workers_lay_out_a_selection_as_an_inline_run_does(
    cluster: distributed.LocalCluster, images: Path, tmp_path: Path
) -> None:
    pipeline.run(corpus.config(images, tmp_path / "inline", until="collect"), Inline())
    shutil.copytree(tmp_path / "inline", tmp_path / "dask")
    part = {"of": "small", "where": "image_id % 2 = 0", "name": "part", "until": "cells"}
    pipeline.run(RunConfig(store=str(tmp_path / "inline"), **part), Inline())
    with cluster_engine.on(cluster.scheduler_address, str(tmp_path / "dask")) as engine:
        summary = pipeline.run(RunConfig(store=str(tmp_path / "dask"), **part), engine)
    assert summary.as_dict()["computed"] > 0
    assert tree(tmp_path / "dask") == tree(tmp_path / "inline")


def test_a_killed_worker_costs_its_shard(
    cluster: distributed.LocalCluster, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, object] = {
        "model": "support.slow_net:net",
        "layers": ("features.6",),
        "shard_size": 8,
        "samples_per_image": 1,
    }
    pipeline.run(corpus.config(images, tmp_path / "inline", until="collect", **changes), Inline())
    with killing(monkeypatch, after=3) as killed:
        summary = run(cluster.scheduler_address, images, tmp_path / "dask", **changes)
    assert len(killed) == 1
    assert tree(tmp_path / "dask") == tree(tmp_path / "inline")
    assert summary["computed"] == len(list((tmp_path / "dask" / "stages").glob("*/*")))


def test_mutant_a_task_that_is_not_handed_in_again_is_missed(
    cluster: distributed.LocalCluster, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_engine, "REPEATS", 0)
    changes: dict[str, object] = {
        "model": "support.slow_net:net",
        "layers": ("features.6",),
        "shard_size": 8,
        "samples_per_image": 1,
    }
    lost = pytest.raises(cluster_engine.ClusterLost, match="given up after workers died 1 times while running it")
    with killing(monkeypatch, after=2), lost:
        run(cluster.scheduler_address, images, tmp_path, **changes)


@contextmanager
def killing(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[list[int]]:
    """Kill the worker that has the most to do, once, when `after` tasks are done."""
    done, killed, result = itertools.count(1), [], cluster_engine.OnDask._result

    def and_kill(self: Any, future: Any, work: Task, *, last: bool) -> Any:
        if next(done) == after:
            busy = max(self._client.processing().items(), key=lambda item: len(item[1]))[0]
            killed.extend(self._client.run(os.getpid, workers=[busy]).values())
            os.kill(killed[0], signal.SIGKILL)
        return result(self, future, work, last=last)

    with monkeypatch.context() as patch:
        patch.setattr(cluster_engine.OnDask, "_result", and_kill)
        yield killed


@pytest.mark.sweep
def test_processes_of_this_machine_share_its_cores(
    images: Path, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    before = torch.get_num_threads()
    cores.share_cores()
    try:
        with cluster_engine.on("local:2", str(tmp_path)) as engine:
            assert engine._client is None, "a run that finds everything starts no worker"
            pipeline.run(corpus.config(images, tmp_path, until="collect"), engine)
            asked = engine.connect().run(lambda: (torch.get_num_threads(), __import__("flows.cores").cores.cores()))
    finally:
        torch.set_num_threads(before)
    assert set(asked.values()) == {(2, 2)}
    assert tree(tmp_path) == whole


@pytest.mark.slow
def test_every_stage_makes_the_bytes_of_an_inline_run(images: Path, tmp_path: Path) -> None:
    for name, dasked in (("inline", None), ("dask", "local:2")):
        config = corpus.config(images, tmp_path / name, layout="umap", extras=("attribution", "influence", "gallery"))
        launch.run(config, engine="inline", dask=dasked)
    assert tree(tmp_path / "dask") == tree(tmp_path / "inline")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_killed_every_fifteen_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = corpus.write_images(tmp_path / "images", 240)
    changes: dict[str, object] = {
        "model": "support.slow_net:net",
        "layers": ("features.6",),
        "shard_size": 8,
        "batch": 4,
        "until": "cells",
    }
    monkeypatch.setenv(slow_net.SECONDS, "0")
    pipeline.run(corpus.config(images, tmp_path / "inline", **changes), Inline())
    monkeypatch.setenv(slow_net.SECONDS, "3.5")
    over, killed = threading.Event(), []
    hunter = threading.Thread(target=hunt, args=(over, killed, 15.0, 120.0))
    hunter.start()
    try:
        with cluster_engine.on("local:2", str(tmp_path / "dask")) as engine:
            pipeline.run(corpus.config(images, tmp_path / "dask", **changes), engine)
    finally:
        over.set()
        hunter.join()
    assert len(killed) >= 7
    assert tree(tmp_path / "dask") == tree(tmp_path / "inline")


def hunt(over: threading.Event, killed: list[int], every: float, length: float) -> None:
    """SIGKILL a worker process of this process at an interval, for a while."""
    rng, started = random.Random(0), time.monotonic()
    while time.monotonic() - started < length and not over.wait(every):
        with suppress(psutil.NoSuchProcess, IndexError):
            children = psutil.Process().children(recursive=True)
            victim = rng.choice([child for child in children if "spawn_main" in " ".join(child.cmdline())])
            victim.kill()
            killed.append(victim.pid)


# What can't work is said before any task, in one line.


@pytest.mark.parametrize("spec", ["local", "local:0", "localhost:8786", "inproc://1", "http://h:1"])
def test_a_cluster_is_named_as_it_can_be(spec: str) -> None:
    with pytest.raises(UsageError, match="local:N"), cluster_engine.on(spec, "store"):
        pass


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_engine, "PATIENCE", 0.5)
    lost = pytest.raises(cluster_engine.ClusterLost, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 ")
    with lost, cluster_engine.on("tcp://127.0.0.1:9", "store"):
        pass


def test_dask_writes_no_traceback_beside_our_line(cluster: distributed.LocalCluster) -> None:
    """A client whose scheduler is killed logs one."""
    logger, handler = logging.getLogger("distributed"), logging.StreamHandler()
    logger.addHandler(handler)
    try:
        with cluster_engine.on(cluster.scheduler_address, "store"):
            assert handler.level == logging.CRITICAL
        assert handler.level == logging.NOTSET
        for error, news in ((CommClosedError(), False), (OSError("full"), True)):
            record = logging.makeLogRecord({"exc_info": (type(error), error, None)})
            assert [bool(place.filter(record)) for place in (handler, logging.getLogger("asyncio"))] == [news, news]
    finally:
        logger.removeHandler(handler)


def test_a_model_that_fails_on_an_image_is_the_line_of_an_inline_run(
    cluster: distributed.LocalCluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images, name = odd_models.write_white(tmp_path / "images"), "white_leaves"
    with pytest.raises(ModelError) as error:
        run(cluster.scheduler_address, images, tmp_path / "s", model=f"support.odd_models:{name}", layers=("conv2",))
    assert re.fullmatch(f"model support.odd_models:{name}: {odd_models.WHITE[name]}", str(error.value))
    assert "Traceback" not in capfd.readouterr().err


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_engine, "PATIENCE", 0.5)
    with distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50) as empty:
        lost = pytest.raises(cluster_engine.ClusterLost, match="has no workers; start some by `dask worker")
        with lost, cluster_engine.on(empty.scheduler_address, "store"):
            pass


def test_workers_of_our_own_that_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are given longer than PATIENCE, since they are on their way, and nobody else can start them."""
    monkeypatch.setattr(cluster_engine, "PATIENCE", 5.0)
    monkeypatch.setattr(cluster_engine, "STARTING", 0.5)
    with distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50) as empty:
        monkeypatch.setattr(cluster_engine.local_workers, "cluster", lambda *given: nullcontext(empty))
        lost = pytest.raises(
            cluster_engine.ClusterLost, match=r"--dask local:2: no worker has started within 0 s; is the"
        )
        with lost, cluster_engine.on("local:2", "store") as engine:
            engine.connect()


def test_other_versions_are_refused(
    cluster: distributed.LocalCluster, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = json.loads(cluster_worker.environment()) | {"torch": "0.4.1"}
    monkeypatch.setattr(cluster_worker, "environment", lambda: json.dumps(other))
    with pytest.raises(
        cluster_worker.UnfitWorker, match=r"the worker tcp://\S+ has torch \S+ where the run has 0\.4\.1: give"
    ):
        run(cluster.scheduler_address, images, tmp_path)


def test_a_worker_that_does_not_see_the_store_is_refused(
    cluster: distributed.LocalCluster, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def elsewhere(places: object, purpose: str) -> Iterator[Path]:
        yield tmp_path / "not-mounted" / "tmp" / purpose

    monkeypatch.setattr(cluster_engine, "scratch", elsewhere)
    with pytest.raises(cluster_worker.UnfitWorker, match=r"does not see the run's store at \S+/not-mounted: mount it"):
        run(cluster.scheduler_address, images, tmp_path)


def test_a_worker_with_another_model_is_refused(
    cluster: distributed.LocalCluster, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = prepared.prepare
    monkeypatch.setattr(prepared, "prepare", lambda *a, **k: dataclasses.replace(opened(*a, **k), whole="other"))
    with pytest.raises(
        cluster_worker.UnfitWorker, match=r"the worker tcp://\S+: model support\S+ changed while the run"
    ):
        run(cluster.scheduler_address, images, tmp_path)
    assert not list(tmp_path.glob("stages/collect/*"))


def test_a_worker_takes_one_task_at_a_time() -> None:
    told = cluster_worker.RunFacts(run="", beacon="", folder="", threads=1, environment="{}")
    with pytest.raises(cluster_worker.UnfitWorker, match="the worker tcp://w takes 4 tasks at once"):
        cluster_worker.join_run(told, SimpleNamespace(address="tcp://w", state=SimpleNamespace(nthreads=4)))
