"""`actlas show` and the gallery of a run, on the small corpus: what is drawn, told, kept and refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import corpus
from support.trees import tree
from torch import nn

from atlas.arrays import Byte, Float
from atlas.inversion import maco, visualise
from atlas.model.activations import run_to
from flows import cli
from flows.drawing import answers as drawn_
from flows.drawing import facts, goals, natural_spectrum, show
from flows.drawing.show import Settings
from flows.model import context as model_context
from flows.model import prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.questions import sql
from flows.sheets.contact_sheet import Tile, sheet
from storage.errors import Incomplete, ModelError, NotFound
from storage.images.decode import decode
from storage.run import Run, open_run
from storage.store.store import Store

LAYER, LATER = corpus.LAYERS
DEAD = 5


def mortal() -> nn.Module:
    """The corpus's net with a unit of the second layer that can't fire."""
    net = corpus.net()
    norm = net.features[4]
    norm.bias.data[DEAD], norm.weight.data[DEAD] = -1e4, 0.0
    return net


def asked(images: Path, store: Path, **changes: Any) -> Any:
    settings = {"until": "cells", "extras": ("gallery",), "model": f"{__name__}:mortal"}
    return corpus.config(images, store, **(settings | changes))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 24)


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    config = asked(images, tmp_path_factory.mktemp("store"))
    pipeline.run(config, Inline())
    return config


@pytest.fixture
def say(finished: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.invoke(["show", *arguments, "--store", finished.store])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def maps_of(config: Any, layer: str, pictures: Byte) -> Float:
    """What the model as it came makes of pictures as they are written."""
    subj = prepared.prepare(config)
    seen: dict[str, torch.Tensor] = {}
    x = subj.model.preprocess.normalise(torch.from_numpy(pictures.copy()))
    run_to(subj.model.module, x, {layer: subj.layers[layer]}, seen.__setitem__)
    return seen[layer].numpy()


def gallery_fault(config: Any, opened: Run, layer: str) -> float:
    """How far the gallery's numbers are from those recomputed from its pictures and the strongest patches."""
    made = opened.gallery(layer)
    units = np.flatnonzero(~made.dead)
    maps = maps_of(config, layer, made.pictures)[units, units]
    patches = [opened.patches(layer, unit, 1)["value"][0].as_py() for unit in range(len(made.dead))]
    gaps = [made.best[units] - maps.max((1, 2)), made.value[units] - maps.mean((1, 2)), made.patch - patches]
    return float(max(np.abs(gap).max() for gap in gaps))


def test_the_gallery_says_how_its_pictures_do(finished: Any) -> None:
    opened = open_run(finished.store, "small")
    for layer, units in ((LAYER, 8), (LATER, 12)):
        made = opened.gallery(layer)
        assert made.pictures.shape == (units, 24, 24, 3)
        assert gallery_fault(finished, opened, layer) < 1e-4
        above = made.ratio[made.patch > 0]
        np.testing.assert_allclose(above, made.best[made.patch > 0] / made.patch[made.patch > 0])
        assert made.recipe["name"] == "fast"


def test_mutant_pictures_of_other_units_are_seen(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_run(finished.store, "small")
    real = opened.gallery(LAYER)
    object.__setattr__(real, "pictures", np.roll(real.pictures, 1, axis=0))
    monkeypatch.setattr(opened, "gallery", lambda layer: real)
    assert gallery_fault(finished, opened, LAYER) > 1e-3


def test_the_dead_are_flagged_and_grey(finished: Any) -> None:
    made = open_run(finished.store, "small").gallery(LATER)
    assert made.dead[DEAD]
    assert (made.pictures[DEAD] == 128).all()
    assert (made.pictures[~made.dead].std((1, 2, 3)) > 1).all()
    assert np.isnan(made.ratio[DEAD])


def test_the_gallery_answers_to_sql_and_says_what_is_missing(finished: Any, images: Path, tmp_path: Path) -> None:
    opened = open_run(finished.store, "small")
    rows = sql.ask(opened, "select layer, count(*) n, sum(dead::int) dead from gallery group by 1 order by 1")
    assert [(row["layer"], row["n"]) for row in rows] == [(LAYER, 8), (LATER, 12)]
    assert rows[1]["dead"] >= 1
    with pytest.raises(NotFound, match="has no layer 'nope'"):
        opened.gallery("nope")
    pipeline.run(asked(images, tmp_path, extras=()), Inline())
    with pytest.raises(Incomplete, match="run it again with --with gallery"):
        open_run(tmp_path, "small").gallery(LAYER)


def test_a_gallery_made_again_has_the_same_bytes_and_moves_nothing_else(
    finished: Any, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.store, tmp_path / "store")
    stage = tmp_path / "store" / "stages" / "gallery"
    before = tree(stage)
    shutil.rmtree(next(stage.iterdir()))
    summary = pipeline.run(asked(images, tmp_path / "store"), Inline()).as_dict()
    assert {row["stage"] for row in summary["stages"] if row["computed"]} == {"gallery"}
    assert tree(stage) == before
    again = pipeline.run(asked(images, tmp_path / "store", seed=0), Inline()).as_dict()
    assert again["computed"] == 0


def test_a_unit_is_drawn_as_in_the_gallery(finished: Any) -> None:
    """The same seed, size, recipe and batch give the same picture."""
    opened = open_run(finished.store, "small")
    look, made = model_context.open_context(finished.store, run="small"), opened.gallery(LAYER)
    how = Settings(recipe="fast", size=(24, 24))
    drawn = show.every_unit(look, [LAYER], how)
    alike = np.abs(np.stack([one.picture for one in drawn]).astype(int) - made.pictures).max()
    assert alike <= 2
    kept = show.every_unit(look, [LAYER], Settings())
    np.testing.assert_array_equal(np.stack([one.picture for one in kept]), made.pictures)
    assert [one.best for one in kept] == made.best.tolist()


def test_one_target_is_a_plain_picture_of_any_size(say: Any, tmp_path: Path) -> None:
    code, out, _ = say(
        f"{LAYER}:3", "--run", "small", "--size", "24x40", "--steps", "4", "--out", str(tmp_path / "a.png")
    )
    assert code == 0
    assert Image.open(tmp_path / "a.png").size == (40, 24)
    assert out.split()[:2] == ["target", "largest"]
    assert "ratio" in out
    say(f"{LAYER}:3", "--run", "small", "--size", "24x40", "--steps", "4", "--out", str(tmp_path / "b.png"))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_json_tells_scores_and_parameters(say: Any) -> None:
    code, out, _ = say(
        f"{LAYER}:3", "class:2", f"{LATER}:1-{LATER}:2", f"{LATER}:{DEAD}", "--run", "small", "--steps", "4", "--json"
    )
    answer = json.loads(out)
    unit, of_class, both, _ = answer["pictures"]
    assert (code, answer["run"], answer["seed"], answer["out"]) == (0, "small", 0, None)
    assert [one["target"] for one in answer["pictures"]] == [
        f"{LAYER}:3",
        "class:2",
        f"{LATER}:1-{LATER}:2",
        f"{LATER}:5",
    ]
    assert (unit["recipe"]["name"], of_class["recipe"]["name"], unit["recipe"]["steps"]) == ("best", "class", 4)
    assert (unit["size"], of_class["size"]) == ([128, 128], [32, 32])
    assert unit["ratio"] == pytest.approx(unit["best"] / unit["patch"])
    assert unit["best"] >= unit["value"]
    assert {"probability", "logit", "first"} <= of_class.keys()
    assert "ratio" not in both
    assert [one["dead"] for one in answer["pictures"]] == [False, False, False, True]


def test_cells_and_layers_and_positions(say: Any, finished: Any) -> None:
    cells = open_run(finished.store, "small").cells(LATER, 4)
    row, col = int(cells.row[0]), int(cells.col[0])
    code, out, _ = say(
        f"{LATER}@4:{row},{col}", LAYER, f"{LAYER}:1@2,3", "--run", "small", "--size", "32", "--steps", "12", "--json"
    )
    cell, layer, place = json.loads(out)["pictures"]
    assert code == 0
    assert cell["best"] == cell["value"] > 0
    look = model_context.open_context(finished.store, run="small")
    drawn = show.show(look, [LAYER, f"{LAYER}:1@2,3"], Settings(size=(32, 32), steps=12))
    maps = maps_of(finished, LAYER, np.stack([one.picture for one in drawn]))
    assert layer["value"] == pytest.approx((maps[0] ** 2).mean(), rel=1e-3)
    assert place["value"] == pytest.approx(maps[1][1, 2, 3], rel=1e-3)


def test_facets_differ(finished: Any) -> None:
    look = model_context.open_context(finished.store, run="small")
    drawn = show.show(look, [f"{LAYER}:3"], Settings(size=(32, 32), steps=24, facets=3))
    alike = show.show(look, [f"{LAYER}:3"] * 3, Settings(size=(32, 32), steps=24))
    assert [one.facet for one in drawn] == [0, 1, 2]
    assert alikeness(finished, drawn) < alikeness(finished, showing_of_seeds(look)) - 0.01
    assert len({one.picture.tobytes() for one in alike}) == 1


def test_facets_are_told_by_what_they_reach_and_not_by_how_they_differ(finished: Any) -> None:
    look = model_context.open_context(finished.store, run="small")
    drawn = show.show(look, [f"{LAYER}:3"], Settings(size=(32, 32), steps=24, facets=3))
    maps = maps_of(finished, LAYER, np.stack([one.picture for one in drawn]))[:, 3]
    np.testing.assert_allclose([one.value for one in drawn], maps.mean((1, 2)), rtol=1e-3)


def test_a_dead_unit_alone_is_no_noise(say: Any, tmp_path: Path) -> None:
    path = tmp_path / "dead.png"
    assert say(f"{LATER}:{DEAD}", "--run", "small", "--size", "24", "--steps", "4", "--out", str(path))[0] == 0
    assert (np.asarray(Image.open(path)) == 128).all()


def test_the_gallery_says_the_seed_that_it_was_drawn_with(finished: Any) -> None:
    look = model_context.open_context(finished.store, run="small")
    kept = show.every_unit(look, [LAYER], Settings())
    assert {one.seed for one in kept} == {finished.seed}
    assert facts.describe(look, kept, Settings())["seed"] == finished.seed


def test_a_model_that_is_not_the_runs_is_not_drawn(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = model_context.prepared.load

    def other(config: Any) -> Any:
        model = real(config)
        with torch.no_grad():
            next(model.module.parameters()).mul_(2)
        return model

    monkeypatch.setattr(model_context.prepared, "load", other)
    with pytest.raises(ModelError, match=r"small@\d+ was made by another model: .* has changed up to features"):
        model_context.open_context(finished.store, run="small")


def roughness(picture: Byte) -> float:
    return float(
        np.abs(np.diff(picture.astype(float), axis=0)).sum() + np.abs(np.diff(picture.astype(float), axis=1)).sum()
    )


def from_grey(picture: Byte) -> float:
    return float(np.abs(picture / 255 - 0.5).sum())


@pytest.mark.parametrize(
    ("penalty", "measure"), [("tv", roughness), ("blur", roughness), ("l1", from_grey), ("l2", from_grey)]
)
def test_penalties_are_held_against_a_picture_and_not_told(finished: Any, penalty: str, measure: Any) -> None:
    look, plain = (
        model_context.open_context(finished.store, run="small"),
        Settings(size=(32, 32), steps=24, recipe="lucid"),
    )
    (free,), (held,) = (
        show.show(look, [f"{LAYER}:3"], dataclasses.replace(plain, penalties=told)) for told in ({}, {penalty: 100.0})
    )
    assert measure(held.picture) < 0.8 * measure(free.picture)
    maps = maps_of(finished, LAYER, held.picture[None])[0, 3]
    assert held.value == pytest.approx(maps.mean(), rel=1e-3, abs=1e-5)


def showing_of_seeds(look: model_context.ModelContext) -> list[drawn_.Drawn]:
    return [
        one
        for seed in range(3)
        for one in show.show(look, [f"{LAYER}:3"], Settings(size=(32, 32), steps=24, seed=seed))
    ]


def alikeness(config: Any, drawn: list[drawn_.Drawn]) -> float:
    """The mean cosine of the pictures' Gram matrices."""
    maps = maps_of(config, LAYER, np.stack([one.picture for one in drawn]))
    flat = maps.reshape(*maps.shape[:2], -1)
    grams = (flat @ flat.transpose(0, 2, 1)).reshape(len(maps), -1)
    grams /= np.linalg.norm(grams, axis=1, keepdims=True)
    return float((grams @ grams.T)[np.triu_indices(len(maps), 1)].mean())


def spectrum_fault(finished: Any) -> float:
    look = model_context.open_context(finished.store, run="small")
    found = natural_spectrum.spectrum(look, 16, 24)
    run = open_run(finished.store, "small")
    flats = []
    for path in run.images()["path"].to_pylist():
        picture = decode(Path(path).read_bytes()).convert("RGB")
        scale = max(24 / picture.width, 16 / picture.height)
        wide, tall = 24 / scale, 16 / scale
        left, top = max(0, picture.width - wide) / 2, max(0, picture.height - tall) / 2
        small = picture.resize(
            (24, 16),
            Image.Resampling.BICUBIC,
            box=(left, top, min(picture.width, left + wide), min(picture.height, top + tall)),
        )
        flats.append(np.asarray(small, float) / 255 @ np.linalg.inv(maco.COLOUR).T)
    wanted = np.abs(np.fft.rfft2(np.array(flats), axes=(1, 2))).mean(0).transpose(2, 0, 1)
    return float(np.abs(found - wanted).max() / wanted.max())


def test_the_spectrum_is_that_of_the_runs_images(finished: Any) -> None:
    assert spectrum_fault(finished) < 1e-3


def test_mutant_a_spectrum_of_other_images_is_seen(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(natural_spectrum, "_run_images", lambda run: list(natural_spectrum._sample_images())[:4])
    assert spectrum_fault(finished) > 1e-2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((f"{LAYER}:3",), 2, "give --out FILE.png to save the picture"),
        ((f"{LAYER}:3", "--json", "--size", "4"), 2, "--size 4: a side such as 128, or HEIGHTxWIDTH"),
        ((f"{LAYER}:3", "--json", "--recipe", "nope"), 2, "--recipe nope is not one of fast, best"),
        ((f"{LAYER}:8", "--json"), 4, "layer features.2 has no unit 8; its units are 0 to 7"),
        (("features.9:1", "--json"), 4, "no layer 'features.9'"),
        ((f"{LAYER}@4:99,0", "--json"), 4, "small has no cell 99,0 in grid 4 of features.2"),
        ((f"{LAYER}@5:0,0", "--json"), 4, "small has no grid 5; it has 4"),
        (
            (f"{LAYER}:1@99,0", "--json", "--size", "32"),
            2,
            "layer features.2 has no position 99,0 at this size; its grid is 16 × 16",
        ),
        (("class:9", "--json"), 4, "no class 9; its classes are 0 to 3"),
        ((f"{LAYER}:1", "--all", "--json"), 2, "--all draws every unit of one layer"),
        ((f"{LAYER}:1", "--json", "--penalty", "tx=1"), 2, "--penalty tx=1: write one of tv, l1, l2, blur"),
        ((f"{LAYER}:1", "--json", "--penalty", "tv"), 2, "--penalty tv: write NAME=WEIGHT"),
        (("class:0", "--json", "--facets", "3", "--recipe", "simonyan"), 2, "facets would all be alike"),
        ((f"{LAYER}:1", "--json", "--facets", "64", "--size", "512"), 2, "at most 4 of 512 x 512 pixels are drawn"),
        ((f"{LAYER}:1", "--json", "--size", "²"), 2, "--size ²: a side such as 128"),
        (
            (f"{LAYER}:1", "--json", "--recipe", "distill", "--size", "16"),
            2,
            "too small for the transforms of recipe distill",
        ),
    ],
)
def test_errors_are_one_line(say: Any, arguments: tuple[str, ...], code: int, words: str) -> None:
    found, _, err = say(*arguments, "--run", "small")
    assert (found, words in err) == (code, True), err
    assert len(err.strip().splitlines()) == 1


def test_a_sheet_has_every_picture_in_its_place() -> None:
    colours = np.arange(21, dtype=np.uint8) * 12
    tiles = [
        Tile(picture=None if i == 4 else np.full((96, 96, 3), colour, np.uint8), left=str(i))
        for i, colour in enumerate(colours)
    ]
    drawn = sheet(tiles, "A title", "a remark", columns=7)
    met = [i for i, colour in enumerate(colours) if i != 4 and (drawn == colour).all(-1).sum() >= 96 * 96]
    assert met == [i for i in range(21) if i != 4]
    assert sheet(tiles[4:5], "dead").shape[2] == 3


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (5, 5), (6, 3), (9, 3), (10, 5), (11, 4), (112, 14)])
def test_a_sheet_leaves_few_places_empty(count: int, columns: int) -> None:
    """By hand: of the numbers of columns near the best shape, the one that leaves the last row fullest."""
    picture = np.full((96, 96, 3), 128, np.uint8)
    drawn = sheet([Tile(picture=picture, left="")] * count, "")
    lines = np.flatnonzero((drawn == 128).all(-1).any(1))
    row = (drawn[lines[0]] == 128).all(-1)
    assert np.count_nonzero(row[1:] & ~row[:-1]) == columns


def test_mutant_a_mean_for_the_largest_is_seen(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores come from the judge, not from the aim."""
    real = visualise.visualise
    monkeypatch.setattr(show, "visualise", lambda *a, judge, **k: real(*a, **k))
    look = model_context.open_context(finished.store, run="small")
    (one,) = show.show(look, [f"{LAYER}:3"], Settings(size=(24, 24), steps=4))
    assert one.best < maps_of(finished, LAYER, one.picture[None])[0, 3].max() - 1e-3


def test_wishes_know_what_they_need(finished: Any) -> None:
    look = model_context.open_context(finished.store, run="small")
    made, layers = goals.goals([f"{LAYER}:3+{LATER}:1", "class:1"], look)
    assert made[0].layers == {LAYER, LATER} == set(layers)
    assert [one.of_classes for one in made] == [False, True]
    assert made[1].layers == frozenset()
    assert Store(Path(finished.store)).root
    assert open_run(finished.store, "small").has("gallery", LAYER)
