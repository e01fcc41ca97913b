"""The sources of the page: layers import downwards only, places do not import each other, files are short."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows.viewer import assets, build
from storage.errors import Incomplete

SOURCES = Path(__file__).parents[3] / "flows" / "viewer" / "web" / "src"
LAYERS = ("data", "state", "ui", "map", "places", "app", "main.js")
"""Each may import those before it, and its own files."""

ALONE = ("notebook.js",)
"""The frame that holds the page in a notebook shares no code with it."""

LONGEST = 300
IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*'(\.[^']*)'""")
"""Imports of values and, in comments, of types."""

Files = Mapping[str, str]


def test_imports_go_down() -> None:
    assert upward(read(".js")) == []


def test_places_do_not_import_each_other() -> None:
    assert sideways(read(".js")) == []


def test_there_are_no_circles() -> None:
    assert circle(read(".js")) == []


def test_every_import_leads_to_a_file(tmp_path: Path) -> None:
    build.write_data(tmp_path)
    assert dangling(read(".js", ".css"), generated(tmp_path)) == []


def test_mutant_an_import_of_no_file_is_seen(tmp_path: Path) -> None:
    build.write_data(tmp_path)
    files = read(".js", ".css") | {"data/match.js": "import rows from '../generated/stages.json';"}
    assert dangling(files, generated(tmp_path)) == [("data/match.js", "generated/stages.json")]


def test_every_file_has_a_layer() -> None:
    assert {name.split("/")[0] for name in read(".js")} == {*LAYERS, *ALONE}


def test_no_file_is_too_long() -> None:
    assert too_long(read(".js", ".css", ".ts")) == []


def test_the_server_reads_the_places_of_the_page_from_its_build(tmp_path: Path) -> None:
    (tmp_path / "page.js").write_text("")
    listed = {"files": ["page.js"], "scripts": ["page.js"], "styles": [], "places": {"probe": "layer"}}
    (tmp_path / "files.json").write_text(json.dumps(listed))
    assert assets.load(tmp_path).places == {"probe": "layer"}
    (tmp_path / "files.json").write_text(json.dumps({name: listed[name] for name in listed if name != "places"}))
    with pytest.raises(Incomplete, match="make page"):
        assets.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("data/client.js", "import { here } from '../state/address.js';"),
        ("state/address.js", "/** @param {import('../ui/dom.js').Child} child */"),
        ("ui/dom.js", "const { load } = await import('../map/grid.js');"),
        ("map/grid.js", "import { Atlas } from '../places/atlas/atlas.js';"),
        ("places/home.js", "import { Frame } from '../app/frame.js';"),
        ("app/frame.js", "import '../main.js';"),
        ("notebook.js", "import { h } from './ui/dom.js';"),
    ],
)
def test_mutant_an_import_that_goes_up_is_seen(name: str, line: str) -> None:
    assert name in [found for found, _ in upward(read(".js") | {name: line})]


def test_mutant_a_place_that_imports_another_is_seen() -> None:
    files = read(".js") | {"places/home.js": "import { Search } from './unit/unit.js';"}
    assert sideways(files) == [("places/home.js", "places/unit/unit.js")]


def test_mutant_a_circle_is_seen() -> None:
    files = read(".js")
    files |= {"ui/format.js": "import { h } from './dom.js';", "ui/dom.js": "import { count } from './format.js';"}
    assert set(circle(files)) == {"ui/format.js", "ui/dom.js"}


def test_mutant_a_long_file_is_seen() -> None:
    assert too_long({"styles/map.css": "\n" * LONGEST, "ui/dom.js": "\n" * (LONGEST + 1)}) == [
        ("ui/dom.js", LONGEST + 1)
    ]


def read(*ends: str) -> dict[str, str]:
    """Return the sources with these suffixes, without generated files, which a fresh checkout lacks."""
    paths = sorted(path for path in SOURCES.rglob("*") if path.suffix in ends and path.parent != build.GENERATED)
    return {path.relative_to(SOURCES).as_posix(): path.read_text() for path in paths}


def generated(folder: Path) -> set[str]:
    return {f"generated/{path.name}" for path in folder.iterdir()}


def dangling(files: Files, others: set[str]) -> list[tuple[str, str]]:
    """Return the imports of files that are neither sources nor generated."""
    pairs = [(name, target) for name, targets in graph(files).items() for target in targets]
    return [(name, target) for name, target in pairs if target not in files and target not in others]


def graph(files: Files) -> dict[str, list[str]]:
    """Return what each file imports, by the paths of both."""
    return {name: [_target(name, found) for found in IMPORT.findall(text)] for name, text in files.items()}


def upward(files: Files) -> list[tuple[str, str]]:
    """Return the imports of a layer from one above it."""
    pairs = [(name, target) for name, targets in graph(files).items() for target in targets if target.endswith(".js")]
    return [(name, target) for name, target in pairs if name in ALONE or _rank(target) > _rank(name)]


def sideways(files: Files) -> list[tuple[str, str]]:
    """Return the imports of one place from another. `places/views.js`, which lists them all, may."""
    pairs = [(name, target) for name, targets in graph(files).items() for target in targets]
    inside = [(name, target) for name, target in pairs if name.startswith("places/") and target.startswith("places/")]
    return [(name, target) for name, target in inside if name != "places/views.js" and _place(name) != _place(target)]


def circle(files: Files) -> list[str]:
    """Return the files on circles of imports: what is left once all that import nothing, or that nothing imports, are gone."""
    edges = {name: {target for target in targets if target in files} for name, targets in graph(files).items()}
    while ends := [
        name for name in edges if not edges[name] & edges.keys() or not any(name in e for e in edges.values())
    ]:
        edges = {name: targets for name, targets in edges.items() if name not in ends}
    return sorted(edges)


def too_long(files: Files) -> list[tuple[str, int]]:
    return [(name, lines) for name, text in files.items() if (lines := text.count("\n")) > LONGEST]


def _target(name: str, found: str) -> str:
    parts: list[str] = name.split("/")[:-1]
    for part in found.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _rank(name: str) -> int:
    layer = name.split("/")[0]
    return LAYERS.index(layer) if layer in LAYERS else len(LAYERS)


def _place(name: str) -> str:
    return name.removeprefix("places/").split("/")[0]
