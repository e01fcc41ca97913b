"""What a change reaches is computed again and nothing else: the rows of docs/updates.md, and a planted fault for each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import corpus
from support.trees import tree

from atlas.inversion import recipes
from flows.config import RunConfig
from flows.dry_run import estimate
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.pipeline.plan import Planner
from flows.questions import patches
from flows.stages import collect, field
from storage.run import open_run
from storage.store.store import Store

EARLY, LATE = corpus.LAYERS
FIRST = "features.0"
DRAWN = {"icons", "tiles"}
FROM_CELLS = {"cells", "members"} | DRAWN
OF_LAYER = {"collect", "field", "patches", "layout", "moment"} | FROM_CELLS
SHARDS = [16, 16, 16, 12]

Reached = set[tuple[str, str | None]]
Pass = tuple[int, tuple[str, ...]]


def of(layers: tuple[str, ...], stages: set[str], *others: str) -> Reached:
    return {(stage, layer) for stage in stages for layer in layers} | {(stage, None) for stage in others}


REACHED: dict[str, tuple[Reached, list[Pass]]] = {
    "nothing": (set(), []),
    "head": (set(), []),
    "late weight": (of((LATE,), OF_LAYER, "model"), [(n, (LATE,)) for n in SHARDS]),
    "late running mean": (of((LATE,), OF_LAYER, "model"), [(n, (LATE,)) for n in SHARDS]),
    "early weight": (of((EARLY, LATE), OF_LAYER, "model"), [(n, (EARLY, LATE)) for n in SHARDS]),
    "more images": (of((EARLY, LATE), OF_LAYER - {"field"}, "images"), [(16, (EARLY, LATE)), (12, (EARLY, LATE))]),
    "grid": (of((EARLY, LATE), FROM_CELLS), []),
    "recipe": (of((EARLY, LATE), DRAWN), []),
    "layer": (of((FIRST,), OF_LAYER, "model"), [(n, (FIRST,)) for n in SHARDS]),
    "labels": (of((), set(), "labels"), []),
}
"""Stages and layers computed, and passes over images: how many images, for which layers."""

WEIGHTS = {
    "head": "head.weight",
    "late weight": "features.3.weight",
    "late running mean": "features.4.running_mean",
    "early weight": "features.0.weight",
}


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """The focus is measured on fewer images than there are, as in any atlas of more than 256; icons take three steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(field, "LISTED", 16)
        patch.setitem(recipes.ICON_RECIPES, "best", replace(recipes.ICON_RECIPES["best"], steps=3))
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The settings of each change; what is changed in the weights is one number, by one ulp."""
    folder = tmp_path_factory.mktemp("changes")
    (folder / "labels.csv").write_text("key,label\nnoise/0002.png,a quiet one\n")
    found: dict[str, dict[str, Any]] = {
        "nothing": {},
        "more images": {"limit": 60},
        "grid": {"grids": (3,)},
        "recipe": {"recipe": "best"},
        "layer": {"layers": (FIRST, *corpus.LAYERS)},
        "labels": {"labels": str(folder / "labels.csv")},
    }
    for name, parameter in WEIGHTS.items():
        state = corpus.net().state_dict()
        values = state[parameter].view(-1)
        values[0] = torch.nextafter(values[0], torch.tensor(torch.inf))
        torch.save(state, folder / f"{name}.pt")
        found[name] = {"weights": str(folder / f"{name}.pt")}
    return found


def before(images: Path, store: Path, change: str) -> RunConfig:
    return corpus.config(images, store, **({"limit": 40} if change == "more images" else {}))


@pytest.fixture(scope="module")
def stores(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store before each change: the same but where images are added."""
    found = {}
    for change in ("more images", "nothing"):
        store = tmp_path_factory.mktemp("store")
        pipeline.run(before(images, store, change), Inline())
        found[change] = store
    return {change: found.get(change, store) for change in REACHED}


@pytest.mark.parametrize("change", REACHED)
def test_only_what_the_change_reaches_is_computed(
    change: str, changes: Any, stores: dict[str, Path], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(stores[change], tmp_path / "store")
    passes: list[Pass] = []
    through = collect._pass

    def counted(subj: Any, rows: Any, reductions: Any, config: Any) -> Any:
        passes.append((len(rows), tuple(reductions.layers)))
        return through(subj, rows, reductions, config)

    monkeypatch.setattr(collect, "_pass", counted)
    asked = before(images, tmp_path / "store", change).model_copy(update=changes[change])
    summary = pipeline.run(asked, Inline()).as_dict()
    reached = {(row["stage"], row["layer"]) for row in summary["stages"] if row["computed"]}
    assert (reached, sorted(passes)) == (REACHED[change][0], sorted(REACHED[change][1]))
    assert pipeline.run(asked, Inline()).as_dict()["computed"] == 0


def test_another_k_is_a_matter_of_reading(stores: dict[str, Path]) -> None:
    there = tree(stores["nothing"])
    opened = open_run(stores["nothing"], "small")
    most = patches.top(opened, LATE, 3, k=64)["patches"]
    assert len(most) == 60  # one of each image
    for k in (1, 5, 16):
        assert patches.top(opened, LATE, 3, k=k)["patches"] == most[:k]
    assert tree(stores["nothing"]) == there


def planned(config: RunConfig) -> dict[tuple[str, str | None], set[str]]:
    """Return the keys that a run would make, by stage and layer."""
    found: dict[tuple[str, str | None], set[str]] = {}
    for make in estimate._plan(Store(Path(config.store)), config)[1]:
        found.setdefault((make.stage, make.layer), set()).add(make.key)
    return found


def reached(change: str, changes: Any, images: Path, empty: Path) -> tuple[Reached, int]:
    """Return what a change reaches, and in how many shards, by the keys of the plans before and after it."""
    asked = before(images, empty, change)
    old, new = planned(asked), planned(asked.model_copy(update=changes[change]))
    fresh = {place: len(keys - old.get(place, set())) for place, keys in new.items()}
    return {place for place, many in fresh.items() if many}, max(fresh["collect", layer] for layer in (EARLY, LATE))


def expected(change: str) -> tuple[Reached, int]:
    found, passes = REACHED[change]
    return found, sum(layers != (FIRST,) for _, layers in passes)


KEY = Planner.key


def whole_model(self: Planner, stage: str, reads: Any, asked: Any) -> str:
    """A layer's key that covers the whole model."""
    return KEY(self, stage, reads, asked | {"whole": self.model.whole})


def no_model(self: Planner, stage: str, reads: Any, asked: Any) -> str:
    """A layer's key that does not cover its weights."""
    return KEY(self, stage, {name: read for name, read in reads.items() if name != "fingerprint"}, asked)


def setting(name: str, stage: str) -> Any:
    """Return keys of a stage that cover a setting which has nothing to do with it."""

    def key(self: Planner, made: str, reads: Any, asked: Any) -> str:
        return KEY(self, made, reads, asked | ({name: getattr(self.config, name)} if made == stage else {}))

    return key


def whole_listing(self: Planner, stage: str, reads: Any, asked: Any) -> str:
    """A shard's key that covers all images, as they are listed."""
    return KEY(self, stage, reads, asked | ({"images": self.images} if stage in ("images", "collect") else {}))


FAULTS = {
    "the whole model in every key": (whole_model, "head"),
    "no weights in any key": (no_model, "late weight"),
    "all images in a shard's key": (whole_listing, "more images"),
    "the grids in the samples' key": (setting("grids", "collect"), "grid"),
    "the recipe in the cells' key": (setting("recipe", "cells"), "recipe"),
    "all layers in a layer's key": (setting("layers", "collect"), "layer"),
    "the labels in the patches' key": (setting("labels", "patches"), "labels"),
}


@pytest.mark.parametrize("change", REACHED)
def test_plans_tell_it_beforehand(change: str, changes: Any, images: Path, tmp_path: Path) -> None:
    assert reached(change, changes, images, tmp_path / "none") == expected(change)


@pytest.mark.parametrize("fault", FAULTS)
def test_mutant_keys_that_cover_too_much_or_too_little_are_seen(
    fault: str, changes: Any, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, change = FAULTS[fault]
    monkeypatch.setattr(Planner, "key", key)
    assert reached(change, changes, images, tmp_path / "none") != expected(change)
