"""Whole runs on networks whose meaning is known: atlas, influence and explanations say what was planted; shuffled, they don't."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import corpus, detectors, planted

from atlas import tiles
from atlas.colours import BLUE, ORANGE
from atlas.inversion import recipes
from flows.cli import invoke
from flows.model import context as model_context
from flows.one_image import explain
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.questions import classes, influence
from flows.sheets import class_map as class_map_sheet
from flows.sheets import influence as influence_sheet
from storage.run import Run, open_run

GRID, COLOURS = 8, detectors.COLOURS


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detectors.write_images(tmp_path_factory.mktemp("images"), 100)


def made(images: Path, store: Path, model: str, **changes: Any) -> Run:
    config = corpus.config(images, store, model=model, grids=(GRID,), samples_per_image=4, **changes)
    pipeline.run(config, Inline())
    return open_run(config.store, "small")


# --- the atlas


def atlas(images: Path, store: Path, model: str) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.ICON_RECIPES, "fast", dataclasses.replace(recipes.FAST, steps=48))
        return made(
            images, store, f"support.detectors:{model}", layers=("relu",), until="icons", extras=("attribution",)
        )


@pytest.fixture(scope="module")
def detected(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return atlas(images, tmp_path_factory.mktemp("detected"), "net")


def astray(opened: Run) -> list[str]:
    """Say where cells that fire are not of one colour's detectors, members, class and icon; or where a colour has none."""
    cells, samples = opened.cells("relu", GRID), opened.samples("relu")
    labels = dict(zip(*(opened.images()[name].to_pylist() for name in ("image_id", "label")), strict=True))
    strongest, said, of = cells.mean.max(axis=1), [], [0, 0]
    firing = np.flatnonzero(strongest > 0.1 * strongest.max())
    for number in firing.tolist():
        colour = int(cells.mean[number].argmax()) % 2
        of[colour] += 1
        members = cells.members[cells.offsets[number] : cells.offsets[number + 1]]
        found = {labels[i] for i in samples.image_id[members].tolist()}
        if found != {COLOURS[colour]}:
            said.append(f"cell {number} of {COLOURS[colour]} has members in {sorted(found)}")
        if cells.classes[number][0] != colour:
            said.append(f"cell {number} of {COLOURS[colour]} speaks for class {cells.classes[number][0]}")
        shown = cells.icon[number].reshape(-1, 3).mean(axis=0)
        if shown[colour] <= shown[1 - colour] + 10:
            said.append(f"cell {number} of {COLOURS[colour]} is drawn in {shown.round()}")
    return said + [f"{n} cells of {name}" for name, n in zip(COLOURS, of, strict=True) if n < 2]


def test_the_atlas_recovers_the_detectors(detected: Run) -> None:
    assert astray(detected) == []


def test_with_shuffled_weights_the_atlas_does_not(images: Path, tmp_path: Path) -> None:
    assert astray(atlas(images, tmp_path, "shuffled"))


def test_the_map_of_a_class_is_strong_where_its_detectors_fire(detected: Run) -> None:
    cells = detected.cells("relu", GRID)
    places = list(zip(cells.row.tolist(), cells.col.tolist(), strict=True))
    for colour, name in enumerate(COLOURS):
        told = classes.class_map(detected, "relu", GRID, str(colour))["cells"]
        mine = cells.mean[[places.index((one["row"], one["col"])) for one in told]]
        expected = mine[:, colour::2].sum(axis=1)  # the head adds both detectors of a colour up
        assert np.corrcoef([one["mean"] for one in told], expected)[0, 1] > 0.999, name
        other = mine[:, 1 - colour :: 2].sum(axis=1)
        assert np.corrcoef([one["mean"] for one in told], other)[0, 1] < 0.5


Told = dict[str, Any]


def misdrawn(sheet: np.ndarray, opened: Run, told: list[Told]) -> list[str]:
    """Say which cells of a map's sheet are not as clear as they speak for the class, where they lie."""
    cells, step, said = opened.cells("relu", GRID), class_map_sheet.MAP // GRID, []
    sides = tiles.sides(cells.count, GRID, step).tolist()
    for number, place in enumerate(zip(cells.row.tolist(), cells.col.tolist(), strict=True)):
        (one,) = (one for one in told if (one["row"], one["col"]) == place)
        middle = [at * step + step // 2 + edge for at, edge in zip(place, (126, class_map_sheet.MARGIN), strict=True)]
        half = sides[number] // 2 - 6  # within the frame
        drawn = sheet[middle[0] - half : middle[0] + half, middle[1] - half : middle[1] + half].mean(axis=(0, 1))
        clear = class_map_sheet.LEAST + (1 - class_map_sheet.LEAST) * max(0.0, one["relative"])
        expected = clear * cells.icon[number].mean(axis=(0, 1)) + (1 - clear) * np.array(class_map_sheet.FAINT)
        if np.abs(drawn - expected).max() > 8:
            said.append(f"cell {place} is {drawn.round()}, not {expected.round()}")
    return said


def test_the_sheet_of_a_map_shows_each_cell_as_clear_as_it_speaks(detected: Run, tmp_path: Path) -> None:
    answer, out = classes.class_map(detected, "relu", GRID, "0"), tmp_path / "map.png"
    asked = ["map", "small", "relu", str(GRID), "0", "--sheet", str(out), "--store", str(detected.store.root)]
    assert invoke(asked) == 0
    sheet = np.asarray(Image.open(out))
    assert misdrawn(sheet, detected, answer["cells"]) == []
    assert invoke([*asked[:-3], str(tmp_path / "map.jpg"), *asked[-2:]]) == 2
    # The other class's map on the same places is the mutant: it has other clear cells.
    other = classes.class_map(detected, "relu", GRID, "1")
    assert len(misdrawn(class_map_sheet.draw(detected, other), detected, answer["cells"])) >= 4


# --- influence


PLANTED = {unit: (set(excited), set(inhibited)) for unit, (excited, inhibited) in planted.CONNECTIONS.items()}


def linked(images: Path, store: Path, model: str) -> Run:
    told: dict[str, Any] = {"layers": ("first", "second"), "until": "patches", "extras": ("influence",)}
    return made(images, store, f"support.planted:{model}", **told)


def connected(opened: Run) -> dict[int, tuple[set[int], set[int]]]:
    """Return what each unit of a run excites and inhibits, of those that do either."""
    found = {}
    for unit in range(planted.UNITS):
        told = influence.influence(opened, "first", unit)
        sides = tuple({row["unit"] for row in told[side]} for side in ("exciting", "inhibiting"))
        if any(sides):
            found[unit] = sides
    return found  # type: ignore[return-value]


def test_influence_recovers_the_connections(images: Path, tmp_path: Path) -> None:
    opened = linked(images, tmp_path, "net")
    assert connected(opened) == PLANTED
    # The sheet has ribbons in both colours for a unit that does both, in one for one that does one.
    for unit, colours in ((0, {ORANGE, BLUE}), (2, {ORANGE}), (4, {BLUE})):
        out = tmp_path / "sheet.png"
        asked = ["influence", "small", f"first:{unit}", "--sheet", str(out), "--store", str(opened.store.root)]
        assert invoke(asked) == 0
        bars = np.asarray(Image.open(out))[:, -influence_sheet.MARGIN - 200 :].reshape(-1, 3)
        assert {colour for colour in (ORANGE, BLUE) if (bars == colour).all(axis=1).any()} == colours
    assert influence_sheet.draw(opened, influence.influence(opened, "first", 1)).shape[0] < 300  # drives nothing


def test_with_shuffled_weights_influence_does_not(images: Path, tmp_path: Path) -> None:
    assert connected(linked(images, tmp_path, "shuffled")) != PLANTED


# --- one image


def inside(images: Path, model: str) -> float:
    """Return the least share, over a few images, of what speaks for the square's colour that lies on the square."""
    shares, reach = [], detectors.SQUARE // 2 + 2  # a kernel reaches two pixels further
    for colour, name in enumerate(COLOURS):
        for file in sorted((images / name).iterdir())[:3]:
            look = model_context.open_context("", model=f"support.detectors:{model}", input_size=detectors.SIDE)
            told = explain.Question(target=str(colour), icons="none", groups=2)
            positions = explain.explain(look, str(file), "relu", question=told)["layer"]["attribution"]["positions"]
            y, x = (int(part) for part in file.stem.split("_")[1:])
            there = positions[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach]
            speaks = np.maximum(positions, 0).sum()
            shares.append(float(np.maximum(there, 0).sum() / speaks) if speaks else 0.0)
    return min(shares)


def test_explaining_an_image_points_at_what_is_detected(images: Path) -> None:
    assert inside(images, "net") > 0.99
    assert inside(images, "shuffled") < 0.9
