"""Illustrate activation vectors and units of an image: from a run's atlas and gallery, or drawn."""

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
from atlas.model.activations import run_to, split_call
from atlas.one_image import likeness
from atlas.seeds import seeds
from flows import progress
from flows.drawing import goals, show
from flows.model.context import ModelContext
from storage.artefacts import arrays, pictures
from storage.images.decode import decode
from storage.images.samples import sample_photos
from storage.run import Run

SAMPLE_PHOTOS = 128
"""Images on which the second moment is measured where no run has it."""

MOST_ROWS = 14
"""Positions per side sampled from each of them."""

BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Settings for drawing: the recipe, with its `steps` replaced if given; the side in pixels; the seed."""

    recipe: str = "fast"
    steps: int | None = None
    size: int = 96
    seed: int = 0

    def icon_recipe(self) -> recipes.IconRecipe:
        """Return the recipe, with its steps replaced if given."""
        recipe = recipes.ICON_RECIPES[self.recipe]
        return recipe if self.steps is None else dataclasses.replace(recipe, steps=self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictured:
    """Pictures `n s s 3` of vectors, the whitened cosine of each to its vector, and their source.

    Where the source is an atlas, `cells` holds the row and column of each cell, `n 2`, in the grid of side `grid`.
    """

    pictures: Byte
    cosine: Float
    source: str
    cells: Int | None = None
    grid: int | None = None

    def part(self, first: int, last: int) -> Pictured:
        """Return the pictures of the rows from `first` up to `last`."""
        rows = slice(first, last)
        cells = None if self.cells is None else self.cells[rows]
        return dataclasses.replace(self, pictures=self.pictures[rows], cosine=self.cosine[rows], cells=cells)


Side = tuple[int, str]
"""A unit and one of its sides, positive or negative."""


class Illustrator:
    """Illustrates vectors and units of a layer with the model of a context, folded once."""

    def __init__(self, context: ModelContext, drawing: Drawing) -> None:
        self.context, self.drawing = context, drawing

    def has_atlas(self, layer: str) -> bool:
        """Tell whether the run has icons of the layer."""
        return self._grid(layer) is not None

    def moment(self, layer: Layer) -> tuple[NDArray[np.float64], str]:
        """Return the layer's second moment `c c` and the images it was measured on: the run's, or else sample photos."""
        run = self.context.run
        if run is not None and run.has("moment", layer.name):
            return arrays.read_array(run.result("moment", layer.name).file("moment.zarr"), "moment"), f"run {run.name}"
        return self._measured(layer), f"{SAMPLE_PHOTOS} sample photos"

    def from_atlas(self, layer: Layer, vectors: Float, moment: NDArray[np.float64]) -> Pictured:
        """Return for each vector `n c` the icon of the most similar cell of the run's finest grid."""
        grid, run = self._grid(layer.name), self.context.run
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
        model, recipe = self.context.model, self.drawing.icon_recipe()
        with progress.current().bar(f"icons {layer.name}", len(vectors), "icons") as advance:
            result = icons.icons(
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
            pictures=result.pictures, cosine=result.cosine, source=f"drawn, {recipe.name}, {recipe.steps} steps"
        )

    def units(self, layer: Layer, units: Sequence[Side], *, draw: bool = True) -> tuple[dict[Side, Byte], str]:
        """Return a picture of each unit's side, and their source.

        Positive sides come from the run's gallery; without one, and for negative sides, the picture is the strongest
        patch. Without a run it is drawn, where `draw` says so.
        """
        run = self.context.run
        if run is not None and run.has("patches", layer.name):
            gallery = run.gallery(layer.name).pictures if run.has("gallery", layer.name) else None
            shown = {
                (unit, side): _strongest_patch(run, layer.name, unit, side)
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
        settings = show.Settings(recipe=self.drawing.recipe, steps=self.drawing.steps, seed=self.drawing.seed)
        texts = [f"{'-1*' if side == 'negative' else ''}{layer.name}:{unit}" for unit, side in units]
        drawn = show.draw(self.context, *goals.goals(texts, self.context), settings)
        source = f"drawn, what excites each; {self.drawing.recipe}, {self.drawing.icon_recipe().steps} steps"
        return {key: one.picture for key, one in zip(units, drawn, strict=True)}, source

    def module(self, layers: Sequence[str]) -> nn.Module:
        """Return the model with the outputs of these layers exposed: the folded one, unless a folded pair hides one."""
        unfolded = self._folded.unfolded
        inside = any(split_call(layer, unfolded)[0] in unfolded for layer in layers)
        return self.context.model.module if inside else self._folded.module

    @functools.cached_property
    def _folded(self) -> folding.Folded:
        return self.context.folded().to("cpu")

    def _grid(self, layer: str) -> int | None:
        run = self.context.run
        return None if run is None else next((g for g in reversed(run.grids) if run.has("icons", layer, g)), None)

    def _measured(self, layer: Layer) -> NDArray[np.float64]:
        """Measure the second moment `c c` of a layer on the sample photos."""
        moment = whitening.empty_moment(layer.units)
        activations: dict[str, torch.Tensor] = {}
        for batch in _sample_inputs(self.context):
            with torch.no_grad():
                run_to(self._folded, batch, {layer.name: layer}, activations.__setitem__, clone=True)
            maps = activations[layer.name]
            down, across = (-(-side // MOST_ROWS) for side in maps.shape[2:])
            moment = moment.add(
                maps[:, :, ::down, ::across].float().permute(0, 2, 3, 1).reshape(-1, layer.units).numpy()
            )
        return moment.mean()


def _strongest_patch(run: Run, layer: str, unit: int, side: str) -> Byte | None:
    """Return the stored picture of the strongest patch of a unit's side, or None."""
    thumbnails = run.thumbnails(layer, unit, side)
    return pictures.decode(thumbnails[0]) if thumbnails else None


def _sample_inputs(context: ModelContext) -> Iterator[torch.Tensor]:
    """Yield batches of sample photos as model input, chosen evenly from all of them."""
    files = sorted(path for path in sample_photos().rglob("*") if path.suffix in (".jpg", ".png"))
    chosen = [files[number * len(files) // SAMPLE_PHOTOS] for number in range(SAMPLE_PHOTOS)]
    for first in range(0, len(chosen), BATCH):
        photos = [_opened(path) for path in chosen[first : first + BATCH]]
        stacked = np.stack([context.model.preprocess.pixels(photo) for photo in photos])
        yield context.model.preprocess.normalise(torch.from_numpy(stacked)).contiguous(
            memory_format=torch.channels_last
        )


def _opened(path: Path) -> Image.Image:
    return decode(path.read_bytes())
