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
from typing import TYPE_CHECKING, Any

from atlas.arrays import Byte
from storage.errors import Incomplete, NotFound

if TYPE_CHECKING:
    from flows.notebook.widget import Viewer
    from flows.viewer.answers.open_runs import OpenVersion

STORE = "actlas-store"


class Picture:
    """A picture, `h w 3`, that a notebook shows as PNG, and the numbers behind it."""

    def __init__(self, pixels: Byte, title: str, answer: dict[str, Any]) -> None:
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
    """A version of a run (NAME or NAME@VERSION) to look at. Raises NotFound where it is not in the store."""

    def __init__(self, name: str, store: str = STORE) -> None:
        from flows.viewer.answers.open_runs import OpenVersion
        from storage.run import open_run

        self.store = store
        self.edition: OpenVersion = OpenVersion(open_run(store, name))

    @property
    def name(self) -> str:
        """The run and the number of its version, NAME@VERSION."""
        return f"{self.edition.run.name}@{self.edition.run.number}"

    @property
    def layers(self) -> list[str]:
        """The layers from shallow to deep."""
        return list(self.edition.layers)

    def map(self, layer: str | None = None, grid: int | None = None) -> Picture:
        """Return the map of a layer (the middle one), by its finest grid or another."""
        from flows.notebook import pictures as notebook_pictures

        layer = self._layer(layer)
        grid = self._grid(layer, grid)
        pixels = notebook_pictures.map_of(self.edition, layer, grid)
        return Picture(pixels, f"atlas of {layer}, grid {grid}, of {self.name}", {"layer": layer, "grid": grid})

    def cell(self, layer: str, grid: int, row: int, col: int) -> Picture:
        """Return a cell: its icon, real patches, units and labels."""
        from flows.notebook import pictures as notebook_pictures
        from flows.viewer.answers import cells

        answer = cells.one(self.edition, self.edition.layer(layer), self._grid(layer, grid), row, col)
        return Picture(notebook_pictures.cell(self.edition, answer), f"cell {row},{col} of {layer}", answer)

    def unit(self, layer: str, unit: int) -> Picture:
        """Return a unit's card."""
        from flows.drawing import unit_pictures
        from flows.questions import units
        from flows.sheets import unit_card

        answer = units.unit(self.edition.run, self.edition.layer(layer), unit)
        made = unit_pictures.gather(self.edition.run, answer, draw=False)
        return Picture(unit_card.draw(answer, made), f"unit {layer}:{unit}", answer)

    def image(self, image_id: int) -> Picture:
        """Return an image of the run."""
        from flows.viewer.answers import images, pictures
        from storage.artefacts import pictures as encoded

        answer = images.one(self.edition, image_id)
        return Picture(encoded.decode(pictures.photo(self.edition, image_id).data), f"image {image_id}", answer)

    def view(self, layer: str | None = None, *, height: int = 720, **query: str | int) -> Viewer:
        """Return the viewer as a widget, at a layer's map. `query` is what an address has: grid=20, cell="9,12".

        Raises Incomplete where anywidget is not installed.
        """
        try:
            from flows.notebook.widget import Viewer
        except ModuleNotFoundError as error:
            raise Incomplete(f"the widget needs {error.name}: pip install 'actlas[notebook]'") from None
        return Viewer(self.store, self.name, self._layer(layer), height=height, query=query)

    def _layer(self, layer: str | None) -> str:
        return self.layers[len(self.layers) // 2] if layer is None else self.edition.layer(layer)

    def _grid(self, layer: str, grid: int | None) -> int:
        has = [known for known in self.edition.run.grids if self.edition.run.has("cells", layer, known)]
        if not has or (grid is not None and grid not in has):
            raise NotFound(f"{self.name} has no grid {grid or 'at all'} of {layer}; it has {has or 'none'}")
        return max(has) if grid is None else grid

    def __repr__(self) -> str:
        return f"<atlas {self.name} of {', '.join(self.layers)}>"

    def _repr_html_(self) -> str:
        """Return the map of the middle layer, with what it is of; names are somebody else's words, and escaped."""
        about = self.edition.run.version.about
        words = f"{about['model']}, {about['listed']:,} images, layers {', '.join(self.layers)}"
        try:
            data = base64.b64encode(self.map()._repr_png_()).decode()
        except NotFound as error:
            return f"<p><b>{html.escape(self.name)}</b> {html.escape(words)}</p><p>{html.escape(str(error))}</p>"
        picture = (
            f'<img alt="atlas of {html.escape(self._layer(None))}" src="data:image/png;base64,{data}" width="560">'
        )
        return f"<p><b>{html.escape(self.name)}</b> {html.escape(words)}</p>{picture}"
