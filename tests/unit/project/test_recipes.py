"""The recipes of CONTRIBUTING.md hold: what they name exists, and a row is enough where they say so."""

from __future__ import annotations

import importlib
import re
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny
from support.house import ROOT
from torch import Tensor, nn

from atlas.attribution import methods
from atlas.attribution.methods import Method
from atlas.attribution.scores import Score
from atlas.layout.methods import METHODS as LAYOUTS
from flows import config, registry
from flows.one_image import saliency
from flows.planning import costs
from flows.registry import Stage
from flows.stages import layout
from flows.viewer.answers import about
from storage.errors import UsageError
from storage.images.contract import Source
from storage.images.folder import Folder
from storage.images.parquet import Parquet
from storage.images.remote import RemoteFolder
from storage.images.tars import Tars

RECIPES = (ROOT / "CONTRIBUTING.md").read_text()


def lost(text: str) -> list[str]:
    """Return the files and folders in code marks that do not exist."""
    named = re.findall(r"`((?:flows|storage|atlas|tests|docs|benchmarks)/[\w./-]+)`", text)
    return [name for name in named if "NAME" not in name and not (ROOT / name).exists()]


def unfit(row: Stage) -> list[str]:
    """Return what the module of a stage lacks: `compute` and `plan`, where a run plans it, and its cost law."""
    module = importlib.import_module(row.module)
    planned = row.per != "source" and not row.on_demand
    needed = ["compute"] * planned + ["plan"] * (planned and not row.step)
    law = getattr(module, row.cost, None) or getattr(costs, row.cost, None)
    return [name for name in needed if not hasattr(module, name)] + ([] if law else [row.cost])


def test_what_recipes_name_exists() -> None:
    assert lost(RECIPES) == []
    assert RECIPES.count("\n## Add ") == 6


def test_mutant_a_file_that_has_moved_is_seen() -> None:
    assert lost(RECIPES.replace("flows/registry.py", "flows/stages/registry.py"))[0] == "flows/stages/registry.py"


@pytest.mark.parametrize("row", registry.STAGES, ids=lambda row: row.name)
def test_a_stage_has_what_its_recipe_says(row: Stage) -> None:
    assert unfit(row) == []


def test_mutant_a_stage_without_its_parts_is_seen() -> None:
    bare = Stage(name="bare", code=1, module="flows.stages.shared.writing", per="layer", extra=True, cost="law")
    assert unfit(bare) == ["compute", "plan", "law"]


def brightness(module: nn.Module, x: Tensor, score: Score) -> Tensor:
    """Return the input as its own attribution: a method of this test."""
    return x


def test_a_saliency_method_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Method(name="brightness", title="brightness", sentence="how bright", function=f"{__name__}.brightness")
    monkeypatch.setitem(methods.METHODS, "brightness", row)
    x = torch.rand(1, 3, 32, 32)
    shown = methods.attribute(tiny.net(), x, Score(read=lambda scores: scores[:, 0]), "brightness")
    np.testing.assert_array_equal(shown.map[0].numpy(), x[0].abs().amax(0).numpy())
    assert about.saliency_methods()[-1]["name"] == "brightness"
    saliency._check("brightness", "mean", {"steps": 0, "samples": 0})


def forgotten_layouts() -> set[str]:
    """Return the layout algorithms that have a function, libraries or rates, but not all three."""
    named = [set(LAYOUTS), set(registry.layouts()), set(layout.RATES)]
    return set.union(*named) - set.intersection(*named)


def test_a_layout_algorithm_has_function_libraries_and_rates() -> None:
    assert forgotten_layouts() == set()
    assert config.make({"images": "x"}).layout == registry.layouts()[0]
    with pytest.raises(UsageError, match="--layout is 'grid': write one of umap, tsne, pca"):
        config.make({"images": "x", "layout": "grid"})


def test_mutant_a_layout_algorithm_without_rates_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "grid", LAYOUTS["pca"])
    assert forgotten_layouts() == {"grid"}


@pytest.mark.parametrize("source", [Folder, Tars, Parquet, RemoteFolder])
def test_every_source_has_the_members_of_the_contract(source: Any) -> None:
    members = {name for name in vars(Source) if not name.startswith("_")}
    assert {"scan", "read", "place"} < members
    assert {name for name in members if not hasattr(source, name)} == set()
