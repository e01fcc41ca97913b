"""Runs that meet model updates: what a run that waited makes, and which of several updates stands in the end."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from support import corpus

from flows import progress
from flows.config import RunConfig
from flows.pipeline import model_updates
from flows.pipeline import run as pipeline
from flows.pipeline import summary as summaries
from flows.pipeline.engines import Inline
from flows.pipeline.model_updates import Superseded
from flows.scheduling import prefect_flow
from storage.errors import BadWeights, Locked
from storage.store.store import Store

NEVER = "2000-01-01T00:00:00.000000+00:00"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 16)


@pytest.fixture
def config(images: Path, tmp_path: Path) -> RunConfig:
    """A run that was made with the weights of its first day."""
    made = corpus.config(images, tmp_path / "store", weights=str(tuned(tmp_path / "old.pt", 1.0)), until="collect")
    pipeline.run(made, Inline())
    return made


def tuned(file: Path, factor: float) -> Path:
    net = corpus.net()
    with torch.no_grad():
        net.features[3].weight.mul_(factor)
    torch.save(net.state_dict(), file)
    return file


def regenerate(config: RunConfig, update: model_updates.Update) -> summaries.Summary:
    """Do what the flow of that name does, without a server."""
    told = {"weights": update.weights, "sha256": update.sha256, "announced": update.announced}
    return pipeline.run(
        config,
        Inline(),
        settle=lambda _: model_updates.regeneration(config.store, update.name, **told),
        announced=update.announced,
    )


def published(config: RunConfig) -> tuple[int, str]:
    version = Store(Path(config.store)).version("small")
    return version.number, Path(version.about["config"]["weights"]).name


def test_a_run_that_waited_follows_the_update_it_waited_for(config: RunConfig, tmp_path: Path) -> None:
    update = model_updates.announce("small", str(tuned(tmp_path / "new.pt", 1.5)))
    regenerate(config, update)
    asked: dict[str, Any] = {}

    def follow(config: RunConfig) -> RunConfig:
        with pytest.raises(Locked), Store(Path(config.store)).lock("small"):
            asked["while"] = "nobody else writes"
        return model_updates.follow(config)

    summary = pipeline.run(config, Inline(), settle=follow)
    assert published(config) == (2, "new.pt")
    assert (summary.version, sum(outcome.computed for outcome in summary.outcomes), asked) == (2, 0, {})


def test_the_flows_settle_what_to_run_only_then(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(prefect_flow, "_carry_out", lambda config, wait, dask, **more: asked.append(more))
    prefect_flow.activation_atlas.fn(config, follow_updates=True)
    prefect_flow.activation_atlas.fn(config)
    prefect_flow.regenerate.fn("small", "/gone.pt", sha256="0" * 64, store=config.store)
    assert asked[:2] == [{"settle": model_updates.follow}, {}]
    with pytest.raises(BadWeights, match=r"weights /gone\.pt: No such file"):
        asked[2]["settle"](config)


def test_the_last_update_stands_in_whatever_order_they_are_worked_on(config: RunConfig, tmp_path: Path) -> None:
    first, last = (
        model_updates.announce("small", str(tuned(tmp_path / f"{name}.pt", factor)))
        for name, factor in (("a", 2), ("b", 3))
    )
    regenerate(config, last)
    with pytest.raises(Superseded, match=r"a\.pt of \S+ are left out: small@2 has those announced later, at "):
        regenerate(config, first)
    pipeline.run(config, Inline(), settle=model_updates.follow)  # a night between, which keeps what it follows
    with pytest.raises(Superseded):
        regenerate(config, first)
    assert published(config) == (2, "b.pt")


def test_what_is_left_out_ends_as_skipped(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> None:
        raise Superseded("weights a.pt are left out")

    monkeypatch.setattr(prefect_flow, "_run", late)
    monkeypatch.setattr(prefect_flow, "_reporting", nullcontext)
    monkeypatch.setattr(prefect_flow, "RunReport", nullcontext)
    state = prefect_flow._carry_out(lambda: config, wait=True, dask=None)
    assert (state.name, state.type.value, state.message) == ("Skipped", "COMPLETED", "weights a.pt are left out")


def test_a_failed_run_has_our_one_line_as_its_message(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the settings cannot be read or the run fails; an address in it is masked, and the error is raised on."""

    def fail(*_: object, **__: object) -> RunConfig:
        raise BadWeights("https://user:password@host/a.pt is lost\nand more")

    monkeypatch.setattr(prefect_flow, "_reporting", nullcontext)
    monkeypatch.setattr(prefect_flow, "RunReport", nullcontext)
    first = prefect_flow._carry_out(fail, wait=True, dask=None)
    monkeypatch.setattr(prefect_flow, "_run", fail)
    for state in (first, prefect_flow._carry_out(lambda: config, wait=True, dask=None)):
        assert (state.type.value, state.message) == ("FAILED", "https://***@host/a.pt is lost")
        assert isinstance(state.data, BadWeights)


def test_what_follows_says_so_and_refuses_other_bytes(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is that of the folder a run was started in; a schedule may be served from another."""
    tuned(tmp_path / "new.pt", 1.5)
    monkeypatch.chdir(tmp_path)
    pipeline.run(config.model_copy(update={"weights": "new.pt"}), Inline())
    monkeypatch.chdir(os.sep)
    said: list[str] = []
    monkeypatch.setattr(progress.Quiet, "say", lambda self, text: said.append(text))
    assert model_updates.follow(config).weights == str(tmp_path / "new.pt")
    assert ["as small@2 has them, instead of the schedule's" in text for text in said] == [True]
    said.clear()
    assert model_updates.follow(config.model_copy(update={"weights": str(tmp_path / "new.pt")})).weights
    assert not said
    tuned(tmp_path / "new.pt", 1.7)
    with pytest.raises(BadWeights, match=r"new\.pt have changed since small@2 was made; say `actlas model updated"):
        model_updates.follow(config)


def test_mutant_a_regeneration_without_a_time_is_never_too_late(config: RunConfig, tmp_path: Path) -> None:
    update = model_updates.announce("small", str(tuned(tmp_path / "new.pt", 1.5)))
    regenerate(config, update)
    told = {"weights": update.weights, "sha256": update.sha256}
    with pytest.raises(Superseded):
        model_updates.regeneration(config.store, "small", announced=NEVER, **told)
    assert model_updates.regeneration(config.store, "small", announced=None, **told).weights == update.weights
