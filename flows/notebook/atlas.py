"""Atlases in a notebook: pictures that show themselves, and the viewer as a widget.

from flows import notebook
photos = notebook.Atlas("photos")
photos                              # its map
photos.unit("_blocks.10", 37)       # a unit's card
photos.view("_blocks.10")           # the viewer; needs `pip install 'actlas[notebook]'`
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atlas.arrays import Byte
from storage.errors import Incomplete, NotFound

if TYPE_CHECKING:
    from flows.notebook.widget import Viewer
    from flows.viewer.answers.open_runs import OpenVersion

STORE = "actlas-store"


class Picture:
    """A picture `h w 3`, which a notebook shows as PNG, with its title and the answer it shows."""

    def __init__(self, pixels: Byte, title: str, answer: Mapping[str, Any]) -> None:
        self.pixels, self.title, self.answer = pixels, title, answer

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"<{self.title}, {width} × {height}>"

    def _repr_png_(self) -> bytes:
        from storage.artefacts import pictures

        return pictures.encode(self.pixels, ".png")

    def save(self, path: str) -> None:
        """Write the picture as PNG."""
        from pathlib import Path

        from storage.artefacts import pictures

        pictures.write_png(self.pixels, Path(path))


class Atlas:
    """A version of a run, by NAME or NAME@VERSION. Raises NotFound unless it is in the store."""

    def __init__(self, name: str, store: str = STORE) -> None:
        from flows.viewer.answers.open_runs import OpenVersion
        from storage.run import open_run

        self.store = store
        self.version: OpenVersion = OpenVersion(open_run(store, name))

    @property
    def name(self) -> str:
        """The run and the number of its version, NAME@VERSION."""
        return f"{self.version.run.name}@{self.version.run.number}"

    @property
    def layers(self) -> list[str]:
        """The layers, from shallow to deep."""
        return list(self.version.layers)

    def map(self, layer: str | None = None, grid: int | None = None) -> Picture:
        """Return the map of a layer (by default the middle one) on a grid (by default the finest)."""
        from flows.notebook import pictures as notebook_pictures

        layer = self._layer(layer)
        grid = self._grid(layer, grid)
        pixels = notebook_pictures.map_of(self.version, layer, grid)
        return Picture(pixels, f"atlas of {layer}, grid {grid}, of {self.name}", {"layer": layer, "grid": grid})

    def cell(self, layer: str, grid: int, row: int, col: int) -> Picture:
        """Return a cell: its icon, real patches, units and labels."""
        from flows.notebook import pictures as notebook_pictures
        from flows.viewer.answers import cells

        answer = cells.one(self.version, self.version.layer(layer), self._grid(layer, grid), row, col)
        return Picture(notebook_pictures.cell(self.version, answer), f"cell {row},{col} of {layer}", answer)

    def unit(self, layer: str, unit: int) -> Picture:
        """Return a unit's card."""
        from flows.drawing import unit_pictures
        from flows.questions import units
        from flows.sheets import unit_card

        answer = units.unit(self.version.run, self.version.layer(layer), unit)
        drawn = unit_pictures.gather(self.version.run, answer, draw=False)
        return Picture(unit_card.draw(answer, drawn), f"unit {layer}:{unit}", answer)

    def image(self, image_id: int) -> Picture:
        """Return an image of the run."""
        from flows.viewer.answers import images, pictures
        from storage.artefacts import pictures as encoded

        answer = images.one(self.version, image_id)
        return Picture(encoded.decode(pictures.photo(self.version, image_id).data), f"image {image_id}", answer)

    def view(self, layer: str | None = None, *, height: int = 720, **query: str | int) -> Viewer:
        """Return the viewer as a widget, at a layer's map. `query` is that of an address: grid=20, cell="9,12".

        Raises Incomplete where anywidget is not installed.
        """
        try:
            from flows.notebook.widget import Viewer
        except ModuleNotFoundError as error:
            raise Incomplete(f"the widget needs {error.name}: pip install 'actlas[notebook]'") from None
        return Viewer(self.store, self.name, self._layer(layer), height=height, query=query)

    def _layer(self, layer: str | None) -> str:
        return self.layers[len(self.layers) // 2] if layer is None else self.version.layer(layer)

    def _grid(self, layer: str, grid: int | None) -> int:
        grids = [size for size in self.version.run.grids if self.version.run.has("cells", layer, size)]
        if not grids or (grid is not None and grid not in grids):
            raise NotFound(f"{self.name} has no grid {grid or 'at all'} of {layer}; it has {grids or 'none'}")
        return max(grids) if grid is None else grid

    def __repr__(self) -> str:
        return f"<atlas {self.name} of {', '.join(self.layers)}>"

    def _repr_html_(self) -> str:
        """Return the map of the middle layer with the run's model and layers; names are untrusted, so they are escaped."""
        about = self.version.run.version.about
        words = f"{about['model']}, {about['listed']:,} images, layers {', '.join(self.layers)}"
        try:
            data = base64.b64encode(self.map()._repr_png_()).decode()
        except NotFound as error:
            return f"<p><b>{html.escape(self.name)}</b> {html.escape(words)}</p><p>{html.escape(str(error))}</p>"
        picture = (
            f'<img alt="atlas of {html.escape(self._layer(None))}" src="data:image/png;base64,{data}" width="560">'
        )
        return f"<p><b>{html.escape(self.name)}</b> {html.escape(words)}</p>{picture}"
