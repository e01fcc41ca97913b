"""Read a published run: resolve its version once, then read from that version only."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atlas.arrays import SIGNS, CellClasses, Float, Int
from storage import addresses, folders
from storage.artefacts import cells as cell_arrays
from storage.artefacts import images as image_tables
from storage.artefacts import patches as patch_tables
from storage.artefacts import selections, tables
from storage.artefacts.cells import CellFacts, RunCells
from storage.errors import NotFound, UsageError
from storage.memory_cache import MemoryCache
from storage.stage_results import StageResults
from storage.store import marker
from storage.store.store import Store
from storage.store.versions import Version

if TYPE_CHECKING:
    from atlas.arrays import Peaks, Samples
    from storage.artefacts.galleries import Gallery
    from storage.artefacts.patch_gradients import PatchGradients
    from storage.artefacts.receptive_fields import Field
    from storage.artefacts.samples import TotalCounts

CACHE_BYTES = 512 << 20
"""Limit of a run's memory cache."""


def open_run(store: str | os.PathLike[str], name: str) -> Run:
    """Open the current version of a run, or with `NAME@VERSION` an older one.

    Raises NotFound, naming the runs that exist.
    """
    opened = open_store(store)
    run, _, number = name.partition("@")
    if number and not number.isdigit():
        raise NotFound(f"{name}: a version is a number, as in {run}@3; `actlas runs list` shows them")
    return Run(opened, opened.version(run, int(number) if number else None))


def open_store(store: str | os.PathLike[str]) -> Store:
    """Open a store for reading. Raises NotFound if it does not exist, and Newer if a later version wrote it."""
    addresses.check("--store", store)
    folders.check("--store", store)
    opened = Store(Path(store))
    marker.check_readable(opened.places)
    return opened


class Run(StageResults):
    """One version of a run: Arrow tables for images and patches, numpy for the rest, all read on demand.

    Methods raise NotFound for a layer, grid or unit that the run does not have, Incomplete for a stage it did not reach.
    """

    def __init__(self, store: Store, version: Version) -> None:
        super().__init__(store, version)
        self.cache = MemoryCache(CACHE_BYTES)

    @functools.cached_property
    def model(self) -> dict[str, Any]:
        """Spec, classes, input size, layers and fingerprints of the model."""
        return self.result("model").record("model.json")

    def images(self, image_ids: Sequence[int] | None = None) -> pa.Table:
        """Return image_id, key, path, label, width, height, reason (null if used) of the run's images.

        `path` can be opened as it is; for tars and Parquet it is the container's. Rejected images have null sizes. Of a
        selection these are the images with a selected sample; by id, any image of its source.
        """
        table = self.images_of_units(image_ids)
        every = image_ids is not None or not self.is_selection
        return table if every else table.filter(pc.is_in(table["image_id"], self._selected))

    def images_of_units(self, image_ids: Sequence[int] | None = None) -> pa.Table:
        """Return the same of the images that units are known from: of a selection, those of its source."""
        listed, table = self._images(image_ids)
        table = table.filter(pc.invert(listed["removed"]))
        if self.has("subset"):
            table = table.filter(pc.is_in(table["image_id"], self._chosen))
        return image_tables.with_facts(table, self.results("images"), image_ids) if self.has("images") else table

    def rejects(self) -> pa.Table:
        """Return the rejected images: image_id, path, reason, detail."""
        facts = image_tables.read_rejects(self.results("images")).slice(0, 0 if self.is_selection else None)
        images = self.images(facts["image_id"].to_pylist()) if len(facts) else self.images().slice(0, 0)
        rows = pa.table({"image_id": facts["image_id"], "path": images["path"]})
        return rows.append_column("reason", facts["reason"]).append_column("detail", facts["detail"])

    def choices(self, image_ids: Sequence[int] | None = None) -> pa.Table:
        """Return image_id, rank, class, logit and probability of the model's first classes of these images, or of all.

        They are from `--with choices`. Images that were rejected, or whose scores are not finite, have none.
        """
        ids = self._selected.to_pylist() if image_ids is None and self.is_selection else image_ids
        return image_tables.read_choices(self.results("choices"), ids)

    @functools.cached_property
    def labels(self) -> tuple[list[str | None], Int]:
        """The distinct labels, None last, and the index `n` of each image's label, by image_id."""
        return image_tables.read_labels(self.result("labels"))

    def listing(self, image_ids: Sequence[int]) -> pa.Table:
        """Return the listing's rows of these images, from which a source reads them."""
        return image_tables.read_rows(self.result("listing"), "images.parquet", sorted(image_ids))

    @functools.cached_property
    def _chosen(self) -> pa.Array:
        return tables.read_table(self.result("subset").file("subset.parquet"))["image_id"].combine_chunks()

    @functools.cached_property
    def _selected(self) -> pa.Array:
        return pa.array(selections.image_ids([self.result("selection", layer) for layer in self.layers]))

    def _images(self, image_ids: Sequence[int] | None) -> tuple[pa.Table, pa.Table]:
        """Return the listed names of these images, or of all, and a table of their paths and labels."""
        listed = image_tables.read_rows(self.result("listing"), "images.parquet", image_ids, image_tables.NAMES)
        listed = listed.slice(0, self.version.about["ids"]) if image_ids is None else listed
        labels = image_tables.read_rows(self.result("labels"), "labels.parquet", image_ids).slice(0, len(listed))
        return listed, image_tables.with_paths(listed, labels, self.version.about)

    # Units

    def patches(self, layer: str, unit: int, k: int = 16, sign: str = "positive") -> pa.Table:
        """Return the strongest `k` patches of a unit, best first.

        Columns layer, unit, sign, rank, value, image_id, path, label, y, x, reach, focus; the boxes are structs of left,
        top, right, bottom in pixels of the source image.
        """
        rows = self._of_unit(layer, unit, "patches.parquet")
        rows = rows.filter(pc.and_(pc.equal(rows["sign"], sign), pc.less(rows["rank"], k)))
        image_ids = sorted(set(rows["image_id"].to_pylist()))
        return patch_tables.with_images(rows, layer, self._images(image_ids)[1])

    def strongest(
        self, layer: str, unit: int, images: Sequence[int] | None = None, k: int = 16, sign: str = "positive"
    ) -> pa.Table:
        """Return the strongest `k` patches of a unit in these images (by default all), best first: one an image.

        Columns layer, unit, sign, rank, value, image_id, path, label, y, x. The result is exact, and needs a run made
        `--keep peaks`. Raises NotFound for an image that the run does not have.
        """
        from storage.artefacts import peaks

        parts = self.results("peaks", layer)
        self.check_unit(parts[0], layer, unit)
        if sign not in SIGNS or k < 1:
            raise UsageError(f"k={k}, sign={sign!r}: k is at least 1, and sign positive or negative")
        images = None if images is None else self._checked_ids(images)
        best = peaks.strongest(parts, unit, sign, k, images)
        rank = np.arange(len(best["value"]), dtype=np.int16)
        rows = {"unit": np.full(len(rank), unit, np.int32), "sign": np.full(len(rank), sign), "rank": rank, **best}
        image_ids = sorted(set(best["image_id"].tolist()))
        return patch_tables.with_images(pa.table(rows), layer, self._images(image_ids)[1])

    def peaks(self, layer: str) -> Iterator[Peaks]:
        """Return the best value and its position of each unit in each image, shard by shard (from `--keep peaks`)."""
        from storage.artefacts import peaks

        return map(peaks.read, self.results("peaks", layer))

    def thumbnails(self, layer: str, unit: int, sign: str = "positive") -> list[bytes]:
        """Return the stored thumbnails (JPEG) of a unit's strongest patches, best first."""
        rows = self._of_unit(layer, unit, "thumbnails.parquet")
        pictures: list[bytes] = rows.filter(pc.equal(rows["sign"], sign))["picture"].to_pylist()
        return pictures

    def unit(self, layer: str, unit: int) -> dict[str, Any]:
        """Return a unit's counts: its extremes, how many images share them, and its non-finite values."""
        record: dict[str, Any] = self._of_unit(layer, unit, "units.parquet").to_pylist()[0]
        return record

    def gradients(self, layer: str, unit: int) -> PatchGradients:
        """Return pictures of the gradients of a unit's strongest patches (from `--with gradients`)."""
        from storage.artefacts import patch_gradients

        result = self.result("gradients", layer)
        self.check_unit(result, layer, unit)
        return patch_gradients.read(result, unit)

    def gallery(self, layer: str) -> Gallery:
        """Return a picture of every unit of a layer, with the activation it reaches (from `--with gallery`)."""
        from storage.artefacts import galleries

        return galleries.read(self.result("gallery", layer))

    def field(self, layer: str) -> Field:
        """Return the layer's receptive field."""
        from storage.artefacts import receptive_fields

        return receptive_fields.read(self.result("field", layer))

    def _of_unit(self, layer: str, unit: int, file: str, stage: str = "patches") -> pa.Table:
        result = self.result(stage, layer)
        self.check_unit(result, layer, unit)
        return tables.read_sorted(result.file(file), "unit", [unit])

    def _checked_ids(self, images: Sequence[int]) -> list[int]:
        ids = [operator.index(number) for number in images]
        wrong = next((number for number in ids if not 0 <= number < self.version.about["ids"]), None)
        if wrong is not None:
            last = self.version.about["ids"] - 1
            raise NotFound(f"{self.name}@{self.number} has no image {wrong}; its ids are 0 to {last}")
        return ids

    # Layers

    def samples(self, layer: str) -> Samples:
        """Return the layer's samples: activations `n c`, image_id, y, x; rejected images are excluded."""
        from storage.artefacts import samples as sample_arrays

        return sample_arrays.read_samples(self.sample_results(layer))

    def samples_by_shard(self, layer: str) -> Iterator[Samples]:
        """Yield the layer's samples, one shard at a time."""
        from storage.artefacts import samples as sample_arrays

        return sample_arrays.read_by_shard(self.sample_results(layer))

    def sample_counts(self, layer: str) -> TotalCounts:
        """Return how many samples are `used` and how many `not_finite`, hence excluded (None if they were not counted)."""
        from storage.artefacts import samples as sample_arrays

        return sample_arrays.total_counts(self.sample_results(layer))

    def layout(self, layer: str) -> Float:
        """Return the position of each sample in the unit square, `n 2` (x, y)."""
        from storage.artefacts import arrays

        return np.asarray(arrays.read_array(self.result("layout", layer).file("layout.zarr"), "points"))

    def layout_record(self, layer: str) -> dict[str, Any]:
        """Return the layout's record: method, trustworthiness, number of anchors, notes."""
        return self.result("layout", layer).record("layout.json")

    def cells(self, layer: str, grid: int) -> RunCells:
        """Return the cells of a grid, with icons and classes if the run has them."""
        facts = self._read_cells(layer, grid)
        icons = cell_arrays.pictures(self._optional("icons", layer, grid), len(facts.row))
        return RunCells(**cell_arrays.columns(facts), icon=icons)

    def cell_facts(self, layer: str, grid: int) -> CellFacts:
        """Return the cells without their icons; they are cached, so the arrays are read-only."""

        def compute() -> CellFacts:
            facts = self._read_cells(layer, grid)
            for column in cell_arrays.columns(facts).values():
                if isinstance(column, np.ndarray):
                    column.setflags(write=False)
            return facts

        return self.cache.get(("cells", layer, grid), compute, lambda facts: facts.nbytes)

    def _read_cells(self, layer: str, grid: int) -> CellFacts:
        cells = self.result("cells", layer, grid)
        icons, classes = (self._optional(stage, layer, grid) for stage in ("icons", "attribution"))
        return cell_arrays.read(grid, cells, icons, classes, lambda: self.sample_results(layer))

    def attribution(self, layer: str, grid: int) -> CellClasses:
        """Return each cell's mean attribution to every class (from `--with attribution`)."""
        return cell_arrays.attribution(self.result("attribution", layer, grid))

    def influence(self, layer: str, unit: int) -> pa.Table:
        """Return the units of the next layer that a unit excites and inhibits most (from `--with influence`).

        Columns unit, later_layer, later_unit, effect, rank, influence, agreement, patches.
        """
        return self._of_unit(layer, unit, "influence.parquet", "influence")

    def members(self, layer: str, grid: int, row: int, col: int) -> pa.Table:
        """Return the members drawn from a cell: sample, image_id, y, x, boxes and picture (JPEG)."""
        return self._members(layer, grid, row, col, omit=())

    def member_facts(self, layer: str, grid: int, row: int, col: int) -> pa.Table:
        """Return the members drawn from a cell without their pictures."""
        return self._members(layer, grid, row, col, omit=("picture",))

    def _members(self, layer: str, grid: int, row: int, col: int, omit: Sequence[str]) -> pa.Table:
        path = self.result("members", layer, grid).file("members.parquet")
        columns = [name for name in tables.names(path) if name not in omit]
        return tables.read_sorted(path, "row", [row], columns).filter(pc.field("col") == col)

    def overview(self, layer: str, grid: int) -> Path:
        """Return the path of the atlas as one PNG, once its bytes are verified."""
        result = self.result("tiles", layer, grid)
        result.data("overview.png")
        return result.path / "overview.png"
