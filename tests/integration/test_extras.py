"""What `--with` makes on a small corpus: exact, repeatable, resumable, and nothing else is touched by it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import corpus
from support.trees import tree
from torch import Tensor

from atlas.model import activations, forward_mode
from flows import config as configuration
from flows.cli import spread
from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.questions import cells as cell_answers
from flows.questions import classes as class_answers
from flows.questions import influence, sql
from storage.errors import Incomplete, NotFound, UsageError
from storage.images import sources
from storage.images.decode import decode
from storage.run import Run, open_run

LAYER, LATER = corpus.LAYERS


def run(config: RunConfig) -> dict[str, Any]:
    return pipeline.run(config, Inline()).as_dict()


def asked(images: Path, store: Path, **changes: Any) -> RunConfig:
    settings = {"until": "cells", "grids": (2, 4), "extras": ("attribution", "influence")}
    return corpus.config(images, store, **(settings | changes))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 40)


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    config = asked(images, tmp_path_factory.mktemp("store"))
    run(config)
    return config


def inputs(config: RunConfig, opened: Run, ids: list[int]) -> dict[int, Tensor]:
    """Return what the model takes for these images, decoded one by one."""
    preprocess, found = prepared.prepare(config).model.preprocess, {}
    for index, data in sources.read(sources.open_source(config.images), opened.listing(sorted(ids))):
        pixels = torch.from_numpy(preprocess.pixels(decode(data)).copy())[None]
        found[sorted(ids)[index]] = preprocess.normalise(pixels)
    return found


def by_gradient(config: RunConfig, opened: Run, layer: str) -> np.ndarray:
    """Return every sample's h·∂logit/∂h by one backward pass per class through the unfolded model, `n k`."""
    subj, samples = prepared.prepare(config), opened.samples(layer)
    shown, made = inputs(config, opened, sorted(set(samples.image_id.tolist()))), []
    for i, y, x in zip(samples.image_id.tolist(), samples.y, samples.x, strict=True):
        seen: list[Tensor] = []

        def change(raw: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(raw.detach().clone().requires_grad_())
            return seen[0].clone()

        with forward_mode.replacing(subj.model.module, subj.layers[layer], change), torch.enable_grad():
            scores = subj.model.logits(subj.model.module(shown[i]))[0]
        gradients = [torch.autograd.grad(score, seen[0], retain_graph=True)[0] for score in scores]
        views = [activations.view(g * seen[0].detach(), subj.layers[layer])[0, :, y, x].sum() for g in gradients]
        made.append(torch.stack(views).numpy())
    return np.array(made)


def wrong(opened: Run, layer: str, grid: int, expected: np.ndarray) -> list[str]:
    """Say where the stored attribution differs from the samples' true ones."""
    made, cells, said = opened.attribution(layer, grid), opened.cells(layer, grid), []
    slack = 1e-4 * np.abs(expected).max()
    for number in range(len(cells.row)):
        members = cells.members[cells.offsets[number] : cells.offsets[number + 1]]
        if np.abs(made.mean[number] - expected[members].mean(axis=0)).max() > slack:
            said.append(f"cell {number}")
    for row, classes, values in zip(made.sample, made.sample_classes, made.sample_values, strict=True):
        if (
            np.abs(values - expected[row, classes]).max() > slack
            or np.abs(values - -np.sort(-expected[row])).max() > slack
        ):
            said.append(f"sample {row}")
    return said


def test_cells_have_the_mean_of_the_gradients_of_their_samples(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    for layer in corpus.LAYERS:
        expected = by_gradient(finished, opened, layer)
        for grid in (2, 4):
            assert wrong(opened, layer, grid, expected) == []
            assert opened.attribution(layer, grid).used.tolist() == opened.cells(layer, grid).count.tolist()


def test_mutant_attributions_of_another_image_are_seen(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    expected = by_gradient(finished, opened, LATER)
    assert wrong(opened, LATER, 2, np.roll(expected, 2, axis=0))


def test_a_cell_names_its_classes(finished: RunConfig, tmp_path: Path, images: Path) -> None:
    opened = open_run(finished.store, "small")
    cells, made = opened.cells(LATER, 2), opened.attribution(LATER, 2)
    assert cells.classes.tolist() == np.argsort(-made.mean, axis=1).tolist()
    np.testing.assert_array_equal(cells.class_mean, -np.sort(-made.mean, axis=1))
    answer = cell_answers.cell(opened, LATER, 2, int(cells.row[0]), int(cells.col[0]))
    assert [row["class"] for row in answer["classes"]] == cells.classes[0].tolist()
    assert sum(row["share"] for row in answer["classes"]) == pytest.approx(1, abs=1e-3)
    names = tmp_path / "names.txt"
    names.write_text("ant\nbee\ncat\nbee\n")
    shutil.copytree(finished.store, tmp_path / "store")
    summary = run(asked(images, tmp_path / "store", classes=str(names)))
    assert computed(summary) == {("model", None)}
    named = open_run(tmp_path / "store", "small")
    first = cell_answers.cell(named, LATER, 2, int(cells.row[0]), int(cells.col[0]))["classes"][0]
    assert first["name"] == ["ant", "bee", "cat", "bee"][first["class"]]
    assert class_answers.class_map(named, LATER, 2, "Cat")["class"] == 2
    with pytest.raises(UsageError, match="2 classes are called 'bee'"):
        class_answers.class_map(named, LATER, 2, "bee")
    with pytest.raises(NotFound, match="no class 'dog'; nearest: "):
        class_answers.class_map(named, LATER, 2, "dog")
    joined = "select distinct name from attribution join classes using (class) where rank = 0 order by name"
    assert {row["name"] for row in sql.ask(named, joined)} <= {"ant", "bee", "cat"}


def test_the_map_of_a_class_covers_the_grid(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    made, cells = opened.attribution(LATER, 4), opened.cells(LATER, 4)
    maps = [class_answers.class_map(opened, LATER, 4, str(number)) for number in range(4)]
    for number, answer in enumerate(maps):
        assert answer["name"] == str(number)
        assert [(c["row"], c["col"]) for c in answer["cells"]] == list(zip(cells.row, cells.col, strict=True))
        np.testing.assert_allclose([c["mean"] for c in answer["cells"]], made.mean[:, number])
        assert max([0.0, *(c["relative"] for c in answer["cells"])]) in (0.0, 1.0)
    assert (np.sort([[c["rank"] for c in m["cells"]] for m in maps], axis=0).T == [1, 2, 3, 4]).all()
    with pytest.raises(NotFound, match="no class 4; its classes are 0 to 3"):
        class_answers.class_map(opened, LATER, 4, "4")


def test_influence_is_that_of_the_strongest_patches(finished: RunConfig) -> None:
    opened, subj = open_run(finished.store, "small"), prepared.prepare(finished)
    later = subj.layers[LATER]
    for unit in (0, 3):
        patches = [p for p in opened.patches(LAYER, unit, 8).to_pylist() if p["value"]]
        shown, effects = inputs(finished, opened, [p["image_id"] for p in patches]), []
        for patch in patches:
            at = (torch.tensor([patch["y"]]), torch.tensor([patch["x"]]), torch.tensor([unit]))
            direction = forward_mode.own_value(*at)
            moved = forward_mode.layer_tangent(
                subj.model.module, shown[patch["image_id"]], subj.layers[LAYER], direction, later
            )
            effects.append(moved[0].sum((1, 2)).numpy())
        mean = np.mean(effects, axis=0)
        rows = opened.influence(LAYER, unit).to_pylist()
        assert rows
        for row in rows:
            true = mean[row["later_unit"]]
            same = np.mean(np.sign([e[row["later_unit"]] for e in effects]) == np.sign(true))
            assert row["influence"] == pytest.approx(true, rel=1e-3, abs=1e-4 * float(np.abs(mean).max()))
            assert row["agreement"] == pytest.approx(same)
            assert row["patches"] == len(patches)
            assert (row["effect"] == "exciting") == (true > 0)
        answer = influence.influence(opened, LAYER, unit, k=1)
        assert answer["later_layer"] == LATER
        assert answer["exciting"][0]["unit"] == int(mean.argmax())


def test_influence_answers_to_sql_and_says_what_is_missing(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    opened = open_run(finished.store, "small")
    counted = sql.ask(opened, "select layer, later_layer, count(*) n from influence group by all")
    assert [(row["layer"], row["later_layer"]) for row in counted] == [(LAYER, LATER)]
    with pytest.raises(NotFound, match=r"no influence of features\.5: no layer of the run comes after it"):
        opened.influence(LATER, 0)
    with pytest.raises(NotFound, match="has no unit 8"):
        opened.influence(LAYER, 8)
    shutil.copytree(finished.store, tmp_path / "store")
    run(asked(images, tmp_path / "store", extras=()))
    without = open_run(tmp_path / "store", "small")
    with pytest.raises(Incomplete, match="run it again with --with attribution"):
        without.attribution(LATER, 2)
    assert without.cells(LATER, 2).classes.shape[1] == 0
    assert cell_answers.cell(without, LATER, 2, *(int(v[0]) for v in _first(without)))["classes"] == []


def _first(opened: Run) -> tuple[np.ndarray, np.ndarray]:
    cells = opened.cells(LATER, 2)
    return cells.row[:1], cells.col[:1]


def computed(summary: dict[str, Any]) -> set[tuple[str, str | None]]:
    return {(row["stage"], row["layer"]) for row in summary["stages"] if row["computed"]}


def test_extras_leave_the_rest_alone(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.store, tmp_path / "store")
    assert computed(run(asked(images, tmp_path / "store", extras=()))) == set()
    assert computed(run(asked(images, tmp_path / "store"))) == set()
    assert "extras" not in open_run(tmp_path / "store", "small@2").version.about["config"]
    run(asked(images, tmp_path / "anew"))
    assert tree(tmp_path / "anew") == tree(Path(finished.store))


def test_another_grid_attributes_only_that_grid(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.store, tmp_path / "store")
    summary = run(asked(images, tmp_path / "store", grids=(2, 3, 4)))
    made = {(r["stage"], r["computed"], r["reused"]) for r in summary["stages"] if r["stage"] == "attribution"}
    assert made == {("attribution", 1, 2)}


def test_fewer_samples_per_cell(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.store, tmp_path / "store")
    summary = run(asked(images, tmp_path / "store", attribution_per_cell=2))
    assert {stage for stage, _ in computed(summary)} == {"attribution"}
    assert set(open_run(tmp_path / "store", "small").attribution(LATER, 2).used.tolist()) == {2}


def test_until_stops_before_what_an_extra_needs(images: Path, tmp_path: Path) -> None:
    summary = run(asked(images, tmp_path, until="patches", limit=16))
    assert {row["stage"] for row in summary["stages"]} & {"attribution", "influence"} == {"influence"}


def test_several_extras_are_spelled_in_a_row() -> None:
    assert spread(["run", "--with", "attribution", "influence"]) == [
        "run",
        *(["--with", "attribution", "--with", "influence"]),
    ]
    made = configuration.make({"images": "x", "with": ["influence"]})
    assert made.extras == ("influence",)
    with pytest.raises(UsageError, match="--with is 'colours'"):
        configuration.make({"images": "x", "with": ["colours"]})


ANSWERED = """
import sys
from flows import cli
code = cli.invoke(sys.argv[1:])
print(code, "torch" in sys.modules)
"""


def answered(config: RunConfig, *arguments: str) -> str:
    """Run a command in a process of its own; return its exit code, and whether torch was loaded."""
    command = [sys.executable, "-c", ANSWERED, *arguments, "--store", config.store]
    beside = Path(__file__).parents[1]  # where the corpus's model is found
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=beside)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("sheet", "arguments"),
    [
        (False, ("unit", "small", f"{LAYER}:3")),
        (True, ("top", "small", f"{LAYER}:3")),
        (True, ("map", "small", LAYER, "4", "1")),
        (True, ("influence", "small", f"{LAYER}:3")),
    ],
)
def test_answers_from_tables_load_no_torch(
    finished: RunConfig, sheet: bool, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    more = ("--sheet", str(tmp_path / "sheet.png")) if sheet else ()
    assert answered(finished, *arguments, *more) == "0 False"
    assert (tmp_path / "sheet.png").exists() == sheet


def test_mutant_gradients_drawn_with_the_model_are_seen_to_load_torch(finished: RunConfig, tmp_path: Path) -> None:
    drawn = ("--sheet", str(tmp_path / "sheet.png"), "--gradients", "gradient")
    assert answered(finished, "top", "small", f"{LAYER}:3", *drawn) == "0 True"
