"""The page as files: the same page with its data as scripts, for a file server or a double click."""

from __future__ import annotations

import base64
import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from atlas.arrays import SIGNS
from flows.viewer import assets
from flows.viewer.answers import about, catalogue, images, units
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.pictures import BLOCK, FACES
from flows.viewer.assets import Assets
from storage.errors import NoSpace, UsageError

MARK = "actlas-export.json"
"""Tells an export, which may be replaced, from a folder that holds something else."""

SAMPLED = 3
"""Units and cells that are measured to say how large an export will be."""

TOGETHER = 500
"""Images whose facts are one script."""

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
"""What files may load: one another and nothing else. Pictures that lie with their answers are data."""

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of the export, made when it is its turn."""

    path: str
    make: Callable[[], bytes]


class Exporter:
    """Lists the files of an export and writes them."""

    def __init__(self, version: OpenVersion, page: Assets) -> None:
        self.version, self.page = version, page

    def pieces(self) -> Iterator[Piece]:
        """Yield every file."""
        yield Piece("index.html", lambda: self.page.page("assets/", ("data/run.js",), POLICY).encode())
        yield Piece("data/run.js", self._run)
        yield from (
            Piece(f"assets/{name}", functools.partial(self.page.files.__getitem__, name)) for name in self.page.files
        )
        yield self._answers("classes", [("classes", {})], change=self._only_mapped)
        yield self._answers("rejects", [("rejects", {})])
        yield self._answers("libraries", [("libraries", {})])
        for start in range(0, self.version.run.version.about["ids"], TOGETHER):
            yield self._images(start)
        for layer in self.version.layers:
            yield from self._of_layer(layer)

    def _of_layer(self, layer: str) -> Iterator[Piece]:
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

    def _of_grid(self, layer: str, grid: int) -> Iterator[Piece]:
        run, place = self.version.run, {"layer": layer, "grid": grid}
        yield self._answers(self._key("cells", **place), [(kind, place) for kind in ("cells", "details", "labels")])
        rows, cols = (self.version.array("cells", layer, grid, name).tolist() for name in ("row", "col"))
        for row, col in zip(rows, cols, strict=True):
            yield self._cell({**place, "row": row, "col": col})
        if run.has("attribution", layer, grid):
            for index in self._mapped():
                asked = {**place, "of": str(index)}
                yield self._answers(self._key("class", **asked), [("class", asked)])
        if run.has("tiles", layer, grid):
            for name in run.result("tiles", layer, grid).files:
                yield from self._tile(place, name)
        if run.has("icons", layer, grid):
            for y, x in sorted({(row // BLOCK, col // BLOCK) for row, col in zip(rows, cols, strict=True)}):
                yield self._picture("icons", {**place, "y": y, "x": x})

    def _speaks(self, layer: str, index: int) -> Piece:
        asked = {"layer": layer, "of": str(index)}
        return self._answers(self._key("speaks", **asked), [("speaks", asked)])

    def _tile(self, place: dict[str, Any], name: str) -> Iterator[Piece]:
        parts = name.removesuffix(".webp").split("/")
        if parts[0] == "atlas_files" and name.endswith(".webp"):
            x, y = parts[2].split("_")
            yield self._picture("tile", {**place, "level": int(parts[1]), "x": int(x), "y": int(y)})

    def _unit(self, layer: str, unit: int) -> Piece:
        """One script for a unit: its answers, its place on every grid, its pictures."""
        place = {"layer": layer, "unit": unit}

        def make() -> bytes:
            run = self.version.run
            found = units.one(self.version, layer, unit)
            answers = {self._key("unit", **place): found}
            answers[self._key("card", **place)] = units.card(self.version, layer, unit, each=0)
            for grid in [grid for grid in run.grids if run.has("cells", layer, grid)]:
                asked = {"layer": layer, "grid": grid, "unit": unit}
                answers[self._key("map", **asked)] = units.on_map(self.version, layer, grid, unit)
            wanted: list[tuple[str, dict[str, Any]]] = [
                ("patch", {**place, "sign": sign, "rank": rank})
                for sign in SIGNS
                for rank in range(min(found[sign]["pictures"], len(found[sign]["patches"])))
            ]
            wanted += [("gradient", {**place, "rank": rank}) for rank in (found["gradients"] or {"ranks": []})["ranks"]]
            wanted += [("synthetic", place)] if found["gallery"] else []
            return self._script(answers, wanted)

        return Piece(f"data/{self._key('unit', **place)}.js", make)

    def _cell(self, place: dict[str, Any]) -> Piece:
        """One script for a cell: its answer and the pictures of its members."""

        def make() -> bytes:
            found = catalogue.answer(self.version, "cell", place)
            wanted = [("member", {**place, "index": index}) for index in range(len(found["members"]))]
            return self._script({self._key("cell", **place): found}, wanted)

        return Piece(f"data/{self._key('cell', **place)}.js", make)

    def _images(self, start: int) -> Piece:
        """One script for the facts of five hundred images."""

        def make() -> bytes:
            found = images.many(self.version, start, TOGETHER)
            return self._script({self._key("image", id=i): facts for i, facts in found.items()}, [])

        return Piece(f"data/images/{start // TOGETHER}.js", make)

    def _answers(
        self, name: str, asked: list[tuple[str, dict[str, Any]]], change: Callable[[Any], Any] = lambda answer: answer
    ) -> Piece:
        def make() -> bytes:
            found = {self._key(k, **p): change(catalogue.answer(self.version, k, p)) for k, p in asked}
            return self._script(found, [])

        return Piece(f"data/{name}.js", make)

    def _picture(self, kind: str, place: dict[str, Any]) -> Piece:
        return Piece(
            f"pictures/{self._key(kind, **place)}.webp", lambda: catalogue.picture(self.version, kind, place).data
        )

    def _script(self, answers: dict[str, Any], wanted: list[tuple[str, dict[str, Any]]]) -> bytes:
        """Return a script that puts answers, and pictures as data, where the page looks for them."""
        drawn = {self._key(kind, **place): catalogue.picture(self.version, kind, place) for kind, place in wanted}
        data = {
            key: f"data:{found.kind};base64,{base64.b64encode(found.data).decode()}" for key, found in drawn.items()
        }
        return f"actlas({_text(answers)},{_text(data)});\n".encode()

    def _key(self, kind: str, **place: Any) -> str:
        """Return what the page calls a question: layers by their number, since their names are anybody's."""
        values = [str(self.version.layers.index(v)) if name == "layer" else str(v) for name, v in place.items()]
        return "/".join([kind, *values])

    def _run(self) -> bytes:
        run = self.version.run
        told = about.about(self.version, [run.number]) | {"uploads": False}
        return f"var ACTLAS={_text({'name': run.name, 'version': run.number, 'about': told, 'mapped': self._mapped()})};\n".encode()

    def _mapped(self) -> list[int]:
        """Return the classes that are among the first of some cell: only these have a map in an export."""

        def find() -> list[int]:
            run = self.version.run
            first = [
                self.version.array("attribution", layer, grid, "classes")
                for layer in self.version.layers
                for grid in run.grids
                if run.has("attribution", layer, grid)
            ]
            return sorted({int(c) for found in first for c in found.ravel().tolist() if c >= 0})

        return self.version.keep(("mapped",), find)

    def _only_mapped(self, answer: dict[str, Any]) -> dict[str, Any]:
        known = set(self._mapped())
        return {"names": [name if index in known else "" for index, name in enumerate(answer["names"])]}


def _text(value: Any) -> str:
    """Return a value as a script can hold it: no line separators, and no way out of the script."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def estimate(pieces: list[Piece]) -> tuple[int, int]:
    """Return how many files an export has and about how many bytes: of each kind, some are made and measured."""
    kinds: dict[str, list[Piece]] = {}
    for piece in pieces:
        kinds.setdefault("/".join(piece.path.split("/")[:3]), []).append(piece)
    total = 0
    for found in kinds.values():
        step = max(1, len(found) // SAMPLED)
        chosen = found[::step][:SAMPLED] if len(found) > SAMPLED else found
        total += sum(len(piece.make()) for piece in chosen) * len(found) // len(chosen)
    return len(pieces), total


def write(pieces: list[Piece], folder: Path, made_from: dict[str, Any], needed: int, advance: Advance) -> int:
    """Write an export beside its place and move it there when it is whole; return its bytes."""
    check_place(folder)
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise NoSpace(str(folder.parent), needed, free)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        fresh = Path(scratch) / "export"
        size = 0
        for done, piece in enumerate(pieces, 1):
            path = fresh / piece.path
            path.parent.mkdir(parents=True, exist_ok=True)
            data = piece.make()
            path.write_bytes(data)
            size += len(data)
            advance(done)
        (fresh / MARK).write_text(json.dumps(made_from) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    return size


def check_place(folder: Path) -> None:
    """Raise UsageError where something is that is no export."""
    if not folder.parent.is_dir():
        raise UsageError(f"there is no folder {folder.parent} to export into")
    if folder.exists() and not (folder / MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there and is no export of actlas; name a new folder")


def pieces(version: OpenVersion) -> list[Piece]:
    """Return the files of an export. Raises Incomplete where the page is not built."""
    return list(Exporter(version, assets.load()).pieces())


def made_from(version: OpenVersion) -> dict[str, Any]:
    """Return what an export says of itself."""
    return {"actlas": installed("actlas"), "run": version.run.name, "version": version.tag}
