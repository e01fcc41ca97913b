"""Pictures for what is found in an image: of activation vectors, from a run's atlas or drawn, and of units."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from atlas.arrays import Byte, Float, Int, Layer
from atlas.inversion import icons, recipes, whitening
from atlas.model import folding
from atlas.model.activations import run_to
from atlas.one_image import likeness
from atlas.seeds import seeds
from flows import progress
from flows.drawing import goals, show
from flows.model import prepared
from flows.model.context import ModelContext
from storage.artefacts import arrays, pictures
from storage.images.decode import decode
from storage.images.samples import sample_photos
from storage.run import Run

SAMPLE_PHOTOS = 128
"""Images that the second moment is measured on where no run has it."""

MOST_ROWS = 14
"""Positions a side that each of them gives."""

BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How pictures are drawn: the recipe, with other `steps` if given; their side in pixels; the seed."""

    recipe: str = "fast"
    steps: int | None = None
    size: int = 96
    seed: int = 0

    def made(self) -> recipes.IconRecipe:
        recipe = recipes.ICON_RECIPES[self.recipe]
        return recipe if self.steps is None else dataclasses.replace(recipe, steps=self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictured:
    """Pictures `n s s 3` of vectors, the whitened cosine of each to its vector, and where they come from.

    From an atlas, `cells` are the rows and columns of its cells, `n 2`, in its grid of `grid` a side.
    """

    pictures: Byte
    cosine: Float
    source: str
    cells: Int | None = None
    grid: int | None = None

    def part(self, first: int, last: int) -> Pictured:
        """Return those of some rows."""
        rows = slice(first, last)
        cells = None if self.cells is None else self.cells[rows]
        return dataclasses.replace(self, pictures=self.pictures[rows], cosine=self.cosine[rows], cells=cells)


Side = tuple[int, str]
"""A unit, and which of its sides: positive or negative."""


class Illustrator:
    """Makes pictures of a layer's vectors and units with the model that is looked at, folded once."""

    def __init__(self, look: ModelContext, drawing: Drawing) -> None:
        self.look, self.drawing = look, drawing

    def has_atlas(self, layer: str) -> bool:
        """Tell whether the run has icons of the layer."""
        return self._grid(layer) is not None

    def moment(self, layer: Layer) -> tuple[NDArray[np.float64], str]:
        """Return the layer's second moment `c c` and where it was measured: on the run, or else on the sample photos."""
        run = self.look.run
        if run is not None and run.has("moment", layer.name):
            return arrays.read_array(run.result("moment", layer.name).file("moment.zarr"), "moment"), f"run {run.name}"
        return self._measured(layer), f"{SAMPLE_PHOTOS} sample photos"

    def from_atlas(self, layer: Layer, vectors: Float, moment: NDArray[np.float64]) -> Pictured:
        """Return the icon of the cell, of the run's finest grid, that is most like each vector."""
        grid, run = self._grid(layer.name), self.look.run
        if grid is None or run is None:
            raise ValueError(f"no run with icons of {layer.name}")
        cells = run.cells(layer.name, grid)
        best, cosine = likeness.nearest(vectors, cells.mean, moment)
        return Pictured(
            pictures=cells.icon[best],
            cosine=cosine,
            source=f"the nearest cell's icon of run {run.name}, grid {grid}",
            cells=np.stack([cells.row[best], cells.col[best]], axis=1).astype(np.int64),
            grid=grid,
        )

    def drawn(self, layer: Layer, vectors: Float, names: Sequence[str], moment: NDArray[np.float64]) -> Pictured:
        """Draw an icon of each vector `n c`."""
        model, recipe = self.look.model, self.drawing.made()
        with progress.current().bar(f"icons {layer.name}", len(vectors), "icons") as advance:
            made = icons.icons(
                self._folded,
                layer,
                vectors,
                moment,
                recipe=recipe,
                seeds=seeds(self.drawing.seed, [f"{layer.name}/{name}" for name in names]),
                mean=model.mean,
                std=model.std,
                size=self.drawing.size,
                own_size=model.preprocess.size,
                batch=min(BATCH, len(vectors)),
                tries=1,
                progress=lambda done, total: advance(done),
            )
        return Pictured(
            pictures=made.pictures, cosine=made.cosine, source=f"drawn, {recipe.name}, {recipe.steps} steps"
        )

    def units(self, layer: Layer, units: Sequence[Side], *, draw: bool = True) -> tuple[dict[Side, Byte], str]:
        """Return a picture of a side of each unit, and what they are.

        The run's gallery has the positive sides; else, and of the others, it is the strongest patch; without a run it
        is drawn, if wanted.
        """
        run = self.look.run
        if run is not None and run.has("patches", layer.name):
            gallery = run.gallery(layer.name).pictures if run.has("gallery", layer.name) else None
            shown = {
                (unit, side): _kept(run, layer.name, unit, side)
                if gallery is None or side == "negative"
                else gallery[unit]
                for unit, side in units
            }
            source = "the strongest patch of each" if gallery is None else "what excites each, from the gallery"
            return {
                key: picture for key, picture in shown.items() if picture is not None
            }, f"{source} in run {run.name}"
        if not draw or not units:
            return {}, "none"
        how = show.Settings(recipe=self.drawing.recipe, steps=self.drawing.steps, seed=self.drawing.seed)
        texts = [f"{'-1*' if side == 'negative' else ''}{layer.name}:{unit}" for unit, side in units]
        drawn = show.draw(self.look, *goals.goals(texts, self.look), how)
        source = f"drawn, what excites each; {self.drawing.recipe}, {self.drawing.made().steps} steps"
        return {key: one.picture for key, one in zip(units, drawn, strict=True)}, source

    def module(self, layers: Sequence[str]) -> nn.Module:
        """Return the model in which these layers can be moved where they stand: folded, where none is inside a pair."""
        inside = {layer.split("@")[0] for layer in layers} & self._folded.unfolded.keys()
        return self.look.model.module if inside else self._folded.module

    @functools.cached_property
    def _folded(self) -> folding.Folded:
        return folding.fold(self.look.model.module, prepared.example(self.look.model)).to("cpu")

    def _grid(self, layer: str) -> int | None:
        run = self.look.run
        return None if run is None else next((g for g in reversed(run.grids) if run.has("icons", layer, g)), None)

    def _measured(self, layer: Layer) -> NDArray[np.float64]:
        found = whitening.empty_moment(layer.units)
        seen: dict[str, torch.Tensor] = {}
        for batch in _sample_inputs(self.look):
            with torch.no_grad():
                run_to(self._folded, batch, {layer.name: layer}, seen.__setitem__, clone=True)
            maps = seen[layer.name]
            down, across = (-(-side // MOST_ROWS) for side in maps.shape[2:])
            found = found.add(maps[:, :, ::down, ::across].permute(0, 2, 3, 1).reshape(-1, layer.units).numpy())
        return found.mean()


def _kept(run: Run, layer: str, unit: int, side: str) -> Byte | None:
    """Return the stored picture of the strongest patch of a unit's side; None where it has none."""
    found = run.thumbnails(layer, unit, side)
    return pictures.decode(found[0]) if found else None


def _sample_inputs(look: ModelContext) -> Iterator[torch.Tensor]:
    """Give batches of the sample photos as the model takes them, evenly spread over all."""
    files = sorted(path for path in sample_photos().rglob("*") if path.suffix in (".jpg", ".png"))
    chosen = [files[number * len(files) // SAMPLE_PHOTOS] for number in range(SAMPLE_PHOTOS)]
    for first in range(0, len(chosen), BATCH):
        photos = [_opened(path) for path in chosen[first : first + BATCH]]
        stacked = np.stack([look.model.preprocess.pixels(photo) for photo in photos])
        yield look.model.preprocess.normalise(torch.from_numpy(stacked)).contiguous(memory_format=torch.channels_last)


def _opened(path: Path) -> Image.Image:
    return decode(path.read_bytes())
