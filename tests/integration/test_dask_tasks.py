"""Tasks on their way to Dask workers: the libraries that must be equal there, the paths they name, and the GPU they ask for."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from support import corpus
from support.colour_encoder import ColourEncoder

from flows import registry
from flows.cluster import engine as cluster_engine
from flows.cluster import worker as cluster_worker
from flows.dry_run import estimate
from flows.model import prepared
from flows.planning import context as plan_context
from flows.planning import libraries
from flows.planning.tasks import Output, Task
from flows.stages.shared import contents
from storage.encoders import loading
from storage.errors import UsageError
from storage.store.store import Store, stage_key


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("corpus") / "images")


def libraries_of_keys(images: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Plan runs with every layout and extra; return the libraries that were asked of the keys of each stage."""
    named: dict[str, set[str]] = {}

    def recorded(stage: str, code: int, reads: Any, asked: Any) -> str:
        named.setdefault(stage, set()).update(re.findall(r'"lib ([^"]+)"', json.dumps([reads, asked])))
        return stage_key(stage, code, reads, asked)

    for module in (plan_context, contents):
        monkeypatch.setattr(module, "stage_key", recorded)
    monkeypatch.setattr(loading, "load", lambda name: ColourEncoder())
    everything = {"extras": tuple(registry.extras()), "keep": ("peaks",)}
    for layout in ("pca", "umap", "tsne"):
        estimate._plan(Store(store), corpus.config(images, store, layout=layout, **everything))
    return {stage: names for stage, names in named.items() if names}


def test_all_libraries_of_keys_are_compared_and_recorded(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = libraries_of_keys(images, tmp_path, monkeypatch)
    assert named.keys() == {row.name for row in registry.STAGES if row.libraries or row.variants}
    everywhere = set().union(*named.values())
    assert everywhere <= json.loads(cluster_worker.environment()).keys()
    assert everywhere <= libraries.versions().keys()


def test_mutant_a_key_with_a_library_that_no_worker_compares(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = libraries.of_key
    more = {"moment": {"lib zarr": "0"}}
    monkeypatch.setattr(libraries, "of_key", lambda stage, *variant: honest(stage, *variant) | more.get(stage, {}))
    named = libraries_of_keys(images, tmp_path, monkeypatch)
    assert not named["moment"] <= json.loads(cluster_worker.environment()).keys()


def test_a_task_names_whole_paths_and_the_device_of_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.safetensors").touch()
    config = corpus.config(Path("photos"), Path("store"), weights="w.safetensors", device="auto")
    sent = cluster_engine.portable(
        Task(stage="cells", store="store", outputs=(), settings={"config": config.model_dump()})
    )
    told = sent.settings["config"]
    assert sent.store == told["store"] == str(tmp_path / "store")
    assert (told["images"], told["weights"]) == (str(tmp_path / "photos"), str(tmp_path / "w.safetensors"))
    assert told["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    for images in ("sample-photos", "memory://bucket/photos"):
        settings = {"config": config.model_dump() | {"images": images, "weights": "random"}}
        told = cluster_engine.portable(Task(stage="cells", store="s", outputs=(), settings=settings)).settings["config"]
        assert (told["images"], told["weights"]) == (images, "random")


class Noting:
    """A client that notes which resources tasks ask for."""

    def __init__(self, *resources: dict[str, float]) -> None:
        self.workers = {str(number): {"resources": has} for number, has in enumerate(resources)}
        self.asked: dict[str, object] = {}

    def scheduler_info(self) -> dict[str, Any]:
        return {"workers": self.workers}

    def submit(self, function: object, work: Task, *args: object, resources: object, **options: object) -> None:
        self.asked[work.stage] = resources


@pytest.mark.parametrize("declared", [True, False])
def test_what_runs_the_model_goes_to_workers_that_declare_a_gpu(declared: bool) -> None:
    client = Noting({"GPU": 1.0} if declared else {}, {})
    with ExitStack() as stack:
        engine = cluster_engine.OnDask(stack, "store", "tcp://h:1", None)
        engine._client = client  # type: ignore[assignment]
        config = engine.resolve_device(corpus.config(Path("i"), Path("s")))
        assert config.device == ("cuda" if declared else "auto")
        for device in ("cuda", "cpu"):
            for stage in ("collect", "layout"):
                make = Output(stage=stage, key="k")
                engine._submit(
                    client, Task(stage=stage, store="", outputs=(make,), settings={"config": {"device": device}})
                )
            gpu = {"GPU": 1} if declared and device == "cuda" else None
            assert client.asked == {"collect": gpu, "layout": None}


def test_a_task_for_a_gpu_waits_for_one_when_the_worker_that_had_it_is_gone() -> None:
    client = Noting({"GPU": 1.0}, {})
    with ExitStack() as stack:
        engine = cluster_engine.OnDask(stack, "store", "tcp://h:1", None)
        engine._client = client  # type: ignore[assignment]
        settled = engine.resolve_device(corpus.config(Path("i"), Path("s")))
        client.workers = {"the other": {"resources": {}}}
        make = Output(stage="collect", key="k")
        settings = {"config": {"device": settled.device}}
        engine._submit(client, Task(stage="collect", store="", outputs=(make,), settings=settings))
    assert client.asked == {"collect": {"GPU": 1}}


def test_a_machine_without_a_gpu_plans_for_those_that_have_one() -> None:
    config = corpus.config(Path("i"), Path("s"), device="cuda")
    assert prepared.prepare(config, here=False).device.type == "cuda"
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA device here"):
            prepared.prepare(config)
