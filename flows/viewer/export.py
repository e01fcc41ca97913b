"""Export the page as files, with its data as scripts, for a file server or a double click."""

from __future__ import annotations

import base64
import functools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from atlas.arrays import SIGNS
from flows.viewer import assets
from flows.viewer.answers import about, catalogue, images, label_maps, reproduce, unit_details, units
from flows.viewer.answers.class_maps import Classes
from flows.viewer.answers.label_maps import LabelMap
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.pictures import BLOCK, FACES
from flows.viewer.assets import Assets
from flows.viewer.export_file import ExportFile
from flows.viewer.export_folder import replacing
from storage.errors import NoSpace, UsageError

MARK = "actlas-export.json"
"""Marks a folder as an export, which may be replaced."""

TOGETHER = 500
"""Images whose facts share a script."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' blob: data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""Files may load one another and nothing else. Pictures stored with their answers are data URLs."""

OF_GRID = ("cells", "details", "labels", "names", "tally")
"""The answers about a grid, which share a script."""

Advance = Callable[[int], None]


class Exporter:
    """Lists the files of an export and writes them."""

    def __init__(self, version: OpenVersion, page: Assets) -> None:
        self.version, self.page = version, page

    def all_files(self) -> Iterator[ExportFile]:
        """Yield every file."""
        yield ExportFile("index.html", lambda: self.page.page("assets/", ("data/run.js",), POLICY).encode())
        yield ExportFile("data/run.js", self._run)
        yield from (
            ExportFile(f"assets/{name}", functools.partial(self.page.files.__getitem__, name))
            for name in self.page.files
        )
        yield self._answers("classes", [("classes", {})], change=self._only_mapped)
        yield self._answers("accuracy", [("accuracy", {})])
        yield self._answers("rejects", [("rejects", {})])
        yield self._answers("libraries", [("libraries", {})])
        for start in range(0, self.version.run.version.about["ids"], TOGETHER):
            yield self._images(start)
        for layer in self.version.layers:
            yield from self._of_layer(layer)

    def _of_layer(self, layer: str) -> Iterator[ExportFile]:
        run = self.version.run
        for grid in [grid for grid in run.grids if run.has("cells", layer, grid)]:
            yield from self._of_grid(layer, grid)
        if run.has("patches", layer):
            yield self._answers(self._key("units", layer=layer), [("units", {"layer": layer})])
            for unit in range(self.version.units(layer)):
                yield self._unit(layer, unit)
            if any(run.has("attribution", layer, grid) for grid in run.grids):
                yield from (self._speaks(layer, index) for index in self._mapped())
            for block in range(-(-self.version.units(layer) // FACES)):
                yield self._picture("faces", {"layer": layer, "block": block})

    def _of_grid(self, layer: str, grid: int) -> Iterator[ExportFile]:
        run, place = self.version.run, {"layer": layer, "grid": grid}
        kinds = [*OF_GRID, *(["real_fidelity"] if run.has("icons", layer, grid) else [])]
        yield self._answers(self._key("cells", **place), [(kind, place) for kind in kinds])
        yield self._labels(place)
        rows, cols = (self.version.array("cells", layer, grid, name).tolist() for name in ("row", "col"))
        for row, col in zip(rows, cols, strict=True):
            yield self._cell({**place, "row": row, "col": col})
        if run.has("attribution", layer, grid):
            for index in self._mapped():
                parameters = {**place, "of": str(index)}
                yield self._answers(self._key("class", **parameters), [("class", parameters)])
        if run.has("tiles", layer, grid):
            for name in run.result("tiles", layer, grid).files:
                yield from self._tile(place, name)
        if run.has("icons", layer, grid):
            for y, x in sorted({(row // BLOCK, col // BLOCK) for row, col in zip(rows, cols, strict=True)}):
                yield self._sheet({**place, "y": y, "x": x})

    def _labels(self, place: dict[str, Any]) -> ExportFile:
        """Return the script with the maps of all labels of a grid."""

        def script(maps: list[LabelMap]) -> bytes:
            return self._script({self._key("label", **place, number=one["number"]): one for one in maps}, [])

        def count() -> int:
            maps, size = label_maps.counted(self.version, **place)
            return len(script(maps)) + size

        name = f"data/{self._key('label', **place)}.js"
        return ExportFile(name, lambda: script(label_maps.every(self.version, **place)), count)

    def _sheet(self, place: dict[str, Any]) -> ExportFile:
        """Return the script with a block of icons: browsers save no figure that shows pictures of other files."""
        key = self._key("icons", **place)
        return ExportFile(f"data/{key}.js", lambda: self._script({key: True}, [("icons", place)]))

    def _speaks(self, layer: str, index: int) -> ExportFile:
        parameters = {"layer": layer, "of": str(index)}
        return self._answers(self._key("speaks", **parameters), [("speaks", parameters)])

    def _tile(self, place: dict[str, Any], name: str) -> Iterator[ExportFile]:
        parts = name.removesuffix(".webp").split("/")
        if parts[0] == "atlas_files" and name.endswith(".webp"):
            x, y = parts[2].split("_")
            yield self._picture("tile", {**place, "level": int(parts[1]), "x": int(x), "y": int(y)})

    def _unit(self, layer: str, unit: int) -> ExportFile:
        """Return the script of a unit: its answers, its mean on every grid, its pictures."""
        place: dict[str, Any] = {"layer": layer, "unit": unit}

        def render() -> bytes:
            run, answer = self.version.run, units.one(self.version, layer, unit)
            answers: dict[str, Any] = {self._key("unit", **place): answer}
            answers[self._key("card", **place)] = unit_details.one(self.version, layer, unit, each=0)
            for grid in [grid for grid in run.grids if run.has("cells", layer, grid)]:
                key = self._key("map", layer=layer, grid=grid, unit=unit)
                answers[key] = units.on_map(self.version, layer, grid, unit)
            return self._script(answers, _pictures_of_unit(answer, place))

        return ExportFile(f"data/{self._key('unit', **place)}.js", render)

    def _cell(self, place: dict[str, Any]) -> ExportFile:
        """Return the script of a cell: its answer and the pictures of its members."""

        def render() -> bytes:
            answer = catalogue.answer(self.version, "cell", place)
            members = [("member", {**place, "index": index}) for index in range(len(answer["members"]))]
            return self._script({self._key("cell", **place): answer}, members)

        return ExportFile(f"data/{self._key('cell', **place)}.js", render)

    def _images(self, start: int) -> ExportFile:
        """Return the script with the facts of five hundred images."""

        def render() -> bytes:
            batch = images.many(self.version, start, TOGETHER)
            return self._script({self._key("image", id=i): facts for i, facts in batch.items()}, [])

        return ExportFile(f"data/images/{start // TOGETHER}.js", render)

    def _answers(
        self,
        name: str,
        requests: list[tuple[str, dict[str, Any]]],
        change: Callable[[Any], Any] = lambda answer: answer,
    ) -> ExportFile:
        def render() -> bytes:
            answers = {self._key(k, **p): change(catalogue.answer(self.version, k, p)) for k, p in requests}
            return self._script(answers, [])

        return ExportFile(f"data/{name}.js", render)

    def _picture(self, kind: str, place: dict[str, Any]) -> ExportFile:
        return ExportFile(
            f"pictures/{self._key(kind, **place)}.webp", lambda: catalogue.picture(self.version, kind, place).data
        )

    def _script(self, answers: dict[str, Any], pictures: list[tuple[str, dict[str, Any]]]) -> bytes:
        """Return a script that hands the page answers, and pictures as data URLs."""
        drawn = {self._key(kind, **place): catalogue.picture(self.version, kind, place) for kind, place in pictures}
        data = {
            key: f"data:{picture.kind};base64,{base64.b64encode(picture.data).decode()}"
            for key, picture in drawn.items()
        }
        return f"actlas({_text(answers)},{_text(data)});\n".encode()

    def _key(self, kind: str, **place: Any) -> str:
        """Return the page's key of a request; it holds layers by number, since their names may be any text."""
        values = [str(self.version.layers.index(v)) if name == "layer" else str(v) for name, v in place.items()]
        return "/".join([kind, *values])

    def _run(self) -> bytes:
        run = self.version.run
        facts: about.About = {**about.about(self.version, [run.number], reproduce.PLACEHOLDER), "uploads": False}
        exported = {"name": run.name, "version": run.number, "about": facts, "mapped": self._mapped()}
        return f"var ACTLAS={without_store(_text(exported), reproduce.store_of(run))};\n".encode()

    def _mapped(self) -> list[int]:
        """Return the classes among the first of any cell: only these have a map in an export."""

        def read() -> list[int]:
            run = self.version.run
            first = [
                self.version.array("attribution", layer, grid, "classes")
                for layer in self.version.layers
                for grid in run.grids
                if run.has("attribution", layer, grid)
            ]
            return sorted({int(c) for of_grid in first for c in of_grid.ravel().tolist() if c >= 0})

        return self.version.keep(("mapped",), read)

    def _only_mapped(self, answer: Classes) -> Classes:
        mapped = set(self._mapped())
        return {"names": [name if index in mapped else "" for index, name in enumerate(answer["names"])]}


def _pictures_of_unit(answer: units.Unit, place: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the requests for a unit's stored pictures: patches, gradients, and its own."""
    sides = {"positive": answer["positive"], "negative": answer["negative"]}
    patches = [
        ("patch", {**place, "sign": sign, "rank": rank})
        for sign in SIGNS
        for rank in range(min(sides[sign]["pictures"], len(sides[sign]["patches"])))
    ]
    ranks = answer["gradients"]["ranks"] if answer["gradients"] else []
    gradients = [("gradient", {**place, "rank": rank}) for rank in ranks]
    return patches + gradients + ([("synthetic", place)] if answer["gallery"] else [])


def without_store(text: str, store: str) -> str:
    """Return JSON with the placeholder in place of the store's path: files are read by others."""
    return re.sub(rf"{re.escape(json.dumps(store)[1:-1])}(?=[\"/])", reproduce.PLACEHOLDER, text)


def _text(value: Any) -> str:
    """Return a value as JSON that is safe inside a script element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def write(files: list[ExportFile], folder: Path, record: dict[str, Any], needed: int, advance: Advance) -> int:
    """Write an export beside its destination, move it there once complete, and return its bytes."""
    check_place(folder)
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise NoSpace(str(folder.parent), needed, free)
    with replacing(folder) as fresh:
        size = 0
        for done, file in enumerate(files, 1):
            path = fresh / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            data = file.render()
            path.write_bytes(data)
            size += len(data)
            advance(done)
        (fresh / MARK).write_text(json.dumps(record) + "\n")
    return size


def check_place(folder: Path) -> None:
    """Raise UsageError where the folder exists and is not an export."""
    if not folder.parent.is_dir():
        raise UsageError(f"there is no folder {folder.parent} to export into")
    if folder.exists() and not (folder / MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an actlas export; name a new folder")


def files_of(version: OpenVersion) -> list[ExportFile]:
    """Return the files of an export. Raises Incomplete where the page is not built."""
    return list(Exporter(version, assets.load()).all_files())


def record_of(version: OpenVersion) -> dict[str, Any]:
    """Return the record that an export holds: software, run and version."""
    return {"actlas": installed("actlas"), "run": version.run.name, "version": version.tag}
