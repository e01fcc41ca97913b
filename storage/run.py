"""Read a published run: resolve its version once, then answer from that version only."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atlas.arrays import CellClasses, Float, Int
from storage.artefacts import cells as cell_arrays
from storage.artefacts import tables
from storage.artefacts.cells import CellFacts, RunCells
from storage.errors import Incomplete, NotFound
from storage.kept import Kept
from storage.store.results import Result
from storage.store.store import Store
from storage.store.versions import Version

if TYPE_CHECKING:
    from atlas.arrays import Samples
    from storage.artefacts.galleries import Gallery
    from storage.artefacts.patch_gradients import PatchGradients
    from storage.artefacts.receptive_fields import Field

NAMES = ("image_id", "key", "container", "removed")
SIDES = ("left", "top", "right", "bottom")
ALWAYS = (
    *("listing", "labels", "model", "images", "collect", "field", "patches"),
    *("layout", "moment", "cells", "members", "icons", "tiles"),
)
"""Stages that every run has unless it stopped before; any other is made by `--with` alone."""
BOX = pa.struct([(side, pa.int32()) for side in SIDES])

KEPT = 512 << 20
"""Bytes that a run keeps in memory for the next question."""


def open_run(store: str | os.PathLike[str], name: str) -> Run:
    """Open the current version of a run, or with `NAME@VERSION` an older one.

    Raises NotFound naming the runs there are.
    """
    opened = open_store(store)
    run, _, number = name.partition("@")
    if number and not number.isdigit():
        raise NotFound(f"{name}: a version is a number, as in {run}@3; `actlas runs list` shows them")
    return Run(opened, opened.version(run, int(number) if number else None))


def open_store(store: str | os.PathLike[str]) -> Store:
    """Open a store to read from. Raises NotFound where there is none."""
    if not Path(store).is_dir():
        raise NotFound(f"there is no store at {store}; `--store` or ACTLAS_STORE names one, `actlas run` makes one")
    return Store(Path(store))


class Run:
    """One version of a run. Arrow tables for images and patches, numpy for the rest; tables are read by need."""

    def __init__(self, store: Store, version: Version) -> None:
        self.store, self.version, self.kept = store, version, Kept(KEPT)
        self._by_place: dict[tuple[str, str | None, int | None], list[Any]] = {}
        self._opened: dict[tuple[str, str | None, int | None], list[Result]] = {}
        for entry in version.stages:
            self._by_place.setdefault((entry.stage, entry.layer, entry.grid), []).append(entry)

    @property
    def name(self) -> str:
        return self.version.name

    @property
    def number(self) -> int:
        return self.version.number

    @property
    def layers(self) -> list[str]:
        """The run's layers, in the order they were asked for."""
        return list(self.version.about["layers"])

    @property
    def grids(self) -> list[int]:
        return list(self.version.about["grids"])

    @functools.cached_property
    def model(self) -> dict[str, Any]:
        """Spec, classes, input size, layers and fingerprints of the model."""
        record: dict[str, Any] = json.loads(self.result("model").file("model.json").read_text())
        return record

    def results(self, stage: str, layer: str | None = None, grid: int | None = None) -> list[Result]:
        """Return the stage's results at this place, in the order of their shards.

        Raises NotFound for a layer or grid the run does not have, Incomplete for a stage it stopped before.
        """
        place = (stage, layer, grid)
        if place not in self._by_place:
            raise self._missing(stage, layer, grid)
        if place not in self._opened:
            self._opened[place] = [self.store.get(stage, entry.key, entry.manifest) for entry in self._by_place[place]]
        return self._opened[place]

    def result(self, stage: str, layer: str | None = None, grid: int | None = None) -> Result:
        return self.results(stage, layer, grid)[0]

    def has(self, stage: str, layer: str | None = None, grid: int | None = None) -> bool:
        return (stage, layer, grid) in self._by_place

    # Images

    def images(self, image_ids: Sequence[int] | None = None) -> pa.Table:
        """Return image_id, key, path, label, width, height, reason (null if used) of the images of the run.

        `path` opens as it is given; inside tars and Parquet it is the container's. Sizes are null for rejected images.
        """
        listed = self._rows("listing", "images.parquet", image_ids, NAMES)
        listed = listed.slice(0, self.version.about["ids"]) if image_ids is None else listed
        labels = self._rows("labels", "labels.parquet", image_ids).slice(0, len(listed))
        table = self._placed(listed, labels).filter(pc.invert(listed["removed"]))
        return self._with_facts(table, image_ids)

    def rejects(self) -> pa.Table:
        """Return the images that could not be used: image_id, path, reason, detail."""
        facts = pa.concat_tables(
            tables.read_table(part.file("images.parquet")).filter(pc.is_valid(pc.field("reason")))
            for part in self.results("images")
        ).sort_by("image_id")
        found = self.images(facts["image_id"].to_pylist()) if len(facts) else self.images().slice(0, 0)
        rows = pa.table({"image_id": facts["image_id"], "path": found["path"]})
        return rows.append_column("reason", facts["reason"]).append_column("detail", facts["detail"])

    def _rows(
        self, stage: str, file: str, image_ids: Sequence[int] | None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        path = self.result(stage).file(file)
        if image_ids is None:
            return tables.read_table(path, columns)
        return tables.read_sorted(path, "image_id", list(image_ids), columns)

    def _paths(self, listed: pa.Table) -> list[str]:
        root = str(self.version.about["root"])
        if self.version.about["kind"] == "folder":
            return [os.path.join(root, key) for key in listed["key"].to_pylist()]
        names = self.version.about["containers"]
        return [os.path.join(root, names[number]) for number in listed["container"].to_pylist()]

    def _with_facts(self, table: pa.Table, image_ids: Sequence[int] | None) -> pa.Table:
        columns = ["image_id", "width", "height", "reason"]
        if not self.has("images"):
            return table
        wanted = None if image_ids is None else set(image_ids)
        parts = []
        for part in self.results("images"):
            facts = tables.read_table(part.file("images.parquet"), columns=columns)
            if wanted is not None:
                facts = facts.filter(pc.is_in(facts["image_id"], pa.array(sorted(wanted), pa.int64())))
            parts.append(facts)
        facts = pa.concat_tables(parts)
        return table.join(facts, "image_id", join_type="left outer").sort_by("image_id")

    @functools.cached_property
    def labels(self) -> tuple[list[str | None], Int]:
        """The labels there are, None last, and which of them each image has, by its id."""
        table = tables.read_table(self.result("labels").file("labels.parquet"), ["label"])
        found = table["label"].combine_chunks().dictionary_encode()
        names = found.dictionary.to_pylist()
        return [*names, None], pc.fill_null(found.indices, len(names)).to_numpy(zero_copy_only=False).astype(np.int64)

    def listing(self, image_ids: Sequence[int]) -> pa.Table:
        """Return the listing's rows of these images, from which a source reads them."""
        return self._rows("listing", "images.parquet", sorted(image_ids))

    # Units

    def patches(self, layer: str, unit: int, k: int = 16, sign: str = "positive") -> pa.Table:
        """Return the strongest `k` patches of a unit, best first.

        Columns layer, unit, sign, rank, value, image_id, path, label, y, x, reach, focus; the boxes are structs of left,
        top, right, bottom in pixels of the source image.
        """
        rows = self._of_unit(layer, unit, "patches.parquet")
        rows = rows.filter(pc.and_(pc.equal(rows["sign"], sign), pc.less(rows["rank"], k)))
        ids = rows["image_id"].to_pylist()
        place = {}
        if ids:
            listed = self._named(sorted(set(ids)))
            place = {row["image_id"]: row for row in listed.to_pylist()}
        columns = {
            "layer": pa.array([layer] * len(rows), pa.large_string()),
            "unit": rows["unit"],
            "sign": rows["sign"],
            "rank": rows["rank"],
            "value": rows["value"],
            "image_id": rows["image_id"],
            "path": pa.array([place[i]["path"] for i in ids], pa.large_string()),
            "label": pa.array([place[i]["label"] for i in ids], pa.large_string()),
            "y": rows["y"],
            "x": rows["x"],
        }
        return pa.table(columns | {kind: _boxes(rows, kind) for kind in ("reach", "focus")})

    def thumbnails(self, layer: str, unit: int, sign: str = "positive") -> list[bytes]:
        """Return the stored pictures (JPEG) of a unit's best patches, best first."""
        rows = self._of_unit(layer, unit, "thumbnails.parquet")
        pictures: list[bytes] = rows.filter(pc.equal(rows["sign"], sign))["picture"].to_pylist()
        return pictures

    def unit(self, layer: str, unit: int) -> dict[str, Any]:
        """Return what was counted of a unit: its extremes and how many images share them, values that are not finite."""
        record: dict[str, Any] = self._of_unit(layer, unit, "units.parquet").to_pylist()[0]
        return record

    def gradients(self, layer: str, unit: int) -> PatchGradients:
        """Return pictures of what drives a unit in its strongest patches; made by `--with gradients`."""
        from storage.artefacts import patch_gradients

        result = self.result("gradients", layer)
        self._check_unit(result, layer, unit)
        return patch_gradients.read(result, unit)

    def gallery(self, layer: str) -> Gallery:
        """Return a picture of every unit of a layer, with what it reaches; made by `--with gallery`."""
        from storage.artefacts import galleries

        return galleries.read(self.result("gallery", layer))

    def field(self, layer: str) -> Field:
        """Return the layer's receptive field."""
        from storage.artefacts import receptive_fields as on_disk

        return on_disk.read(self.result("field", layer).path)

    def _named(self, image_ids: list[int]) -> pa.Table:
        listed = self._rows("listing", "images.parquet", image_ids, NAMES)
        return self._placed(listed, self._rows("labels", "labels.parquet", image_ids))

    def _placed(self, listed: pa.Table, labels: pa.Table) -> pa.Table:
        """Return image_id, key, path and label; both tables have the same images in the same order."""
        paths = pa.array(self._paths(listed), pa.large_string())
        return listed.select(["image_id", "key"]).append_column("path", paths).append_column("label", labels["label"])

    def _of_unit(self, layer: str, unit: int, file: str, stage: str = "patches") -> pa.Table:
        result = self.result(stage, layer)
        self._check_unit(result, layer, unit)
        return tables.read_sorted(result.file(file), "unit", [unit])

    @staticmethod
    def _check_unit(result: Result, layer: str, unit: int) -> None:
        units = result.counts["units"]
        if not 0 <= unit < units:
            raise NotFound(f"{layer} has no unit {unit}; its units are 0 to {units - 1}")

    # Layers

    def samples(self, layer: str) -> Samples:
        """Return the layer's samples: activations `n c`, image_id, y, x; rejected images are left out."""
        from storage.artefacts import samples as sample_arrays

        return sample_arrays.read_samples(self.results("collect", layer))

    def samples_by_shard(self, layer: str) -> Iterator[Samples]:
        """Yield the layer's samples a shard at a time."""
        from storage.artefacts import samples as sample_arrays

        return sample_arrays.read_each(self.results("collect", layer))

    def sample_counts(self, layer: str) -> dict[str, int | None]:
        """Return how many samples are `used`, and how many `not_finite` and so left out (None if nobody counted)."""
        from storage.artefacts import samples as sample_arrays

        return sample_arrays.total(self.results("collect", layer))

    def layout(self, layer: str) -> Float:
        """Return where each sample lies, `n 2` (x, y) in the unit square."""
        from storage.artefacts import arrays

        return np.asarray(arrays.read_array(self.result("layout", layer).file("layout.zarr"), "points"))

    def layout_record(self, layer: str) -> dict[str, Any]:
        """Return what is known of the layout: method, trustworthiness, number of anchors, notes in words."""
        record: dict[str, Any] = json.loads(self.result("layout", layer).file("layout.json").read_text())
        return record

    def cells(self, layer: str, grid: int) -> RunCells:
        """Return the cells of a grid, with icons and classes where the run has them."""
        facts = self._read_cells(layer, grid)
        icons = cell_arrays.pictures(self._optional("icons", layer, grid), len(facts.row))
        return RunCells(**cell_arrays.columns(facts), icon=icons)

    def cell_facts(self, layer: str, grid: int) -> CellFacts:
        """Return the same without the pictures; kept for the next question, so its arrays can't be written to."""

        def make() -> CellFacts:
            facts = self._read_cells(layer, grid)
            for column in cell_arrays.columns(facts).values():
                if isinstance(column, np.ndarray):
                    column.setflags(write=False)
            return facts

        return self.kept.get(("cells", layer, grid), make, lambda facts: facts.nbytes)

    def _read_cells(self, layer: str, grid: int) -> CellFacts:
        made = self.result("cells", layer, grid)
        icons, classes = (self._optional(stage, layer, grid) for stage in ("icons", "attribution"))
        return cell_arrays.read(grid, made, icons, classes, lambda: self.results("collect", layer))

    def _optional(self, stage: str, layer: str, grid: int) -> Result | None:
        return self.result(stage, layer, grid) if self.has(stage, layer, grid) else None

    def attribution(self, layer: str, grid: int) -> CellClasses:
        """Return what each cell speaks for: its mean attribution to every class; made by `--with attribution`."""
        return cell_arrays.attribution(self.result("attribution", layer, grid))

    def influence(self, layer: str, unit: int) -> pa.Table:
        """Return the units of the next layer that a unit excites and inhibits most; made by `--with influence`.

        Columns unit, later_layer, later_unit, effect, rank, influence, agreement, patches.
        """
        return self._of_unit(layer, unit, "influence.parquet", "influence")

    def members(self, layer: str, grid: int, row: int, col: int) -> pa.Table:
        """Return the cell's drawn members: sample, image_id, y, x, boxes and picture (JPEG)."""
        return self._members(layer, grid, row, col, leave=())

    def member_facts(self, layer: str, grid: int, row: int, col: int) -> pa.Table:
        """Return the same without the pictures."""
        return self._members(layer, grid, row, col, leave=("picture",))

    def _members(self, layer: str, grid: int, row: int, col: int, leave: Sequence[str]) -> pa.Table:
        path = self.result("members", layer, grid).file("members.parquet")
        columns = [name for name in tables.names(path) if name not in leave]
        return tables.read_sorted(path, "row", [row], columns).filter(pc.field("col") == col)

    def overview(self, layer: str, grid: int) -> Path:
        """Return the path of the atlas as one PNG."""
        return self.result("tiles", layer, grid).file("overview.png")

    def _missing(self, stage: str, layer: str | None, grid: int | None) -> Exception:
        if layer is not None and layer not in self.layers:
            return NotFound(f"{self.name} has no layer {layer!r}; it has {', '.join(self.layers)}")
        cut_short = stage in ALWAYS and not any(entry.stage == stage for entry in self.version.stages)
        if grid is not None and grid not in self.grids and (not cut_short or not self.grids):
            has = ", ".join(map(str, self.grids)) or "none: too few samples for one cell"
            return NotFound(f"{self.name} has no grid {grid}; it has {has}")
        if stage not in ALWAYS and any(entry.stage == stage for entry in self.version.stages):
            return NotFound(f"{self.name} has no {stage} of {layer}: no layer of the run comes after it")
        again = (
            f"run it again with --with {stage}"
            if stage not in ALWAYS
            else "it stopped before; run it again without --until"
        )
        return Incomplete(f"{self.name}@{self.number} has no {stage} yet: {again}")


def _boxes(rows: pa.Table, kind: str) -> pa.Array:
    columns = [rows[f"{kind}_{side}"].combine_chunks() for side in SIDES]
    return pa.StructArray.from_arrays(columns, fields=list(BOX))
