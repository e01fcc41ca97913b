"""Every answer has exactly the shape that its TypedDict declares, in the OpenAPI description and in the page's types."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from support import viewing

from flows.viewer import app, build, typescript
from flows.viewer.answers import catalogue
from flows.viewer.answers.encoding import encode
from flows.viewer.answers.open_runs import OpenRuns, OpenVersion
from storage.store.store import Contents, Store

LAYER = "features.5"
PATH = "/api/1/runs/small/current"
GRID = {"layer": LAYER, "grid": 4}
UNIT = {"layer": LAYER, "unit": 3}
FIRST = {"layer": "features.2", "unit": 2}
MODEL = {
    "load": [{}],
    "locate": [GRID | {"id": 3}],
    "explain": [
        {"layer": LAYER, "id": 3, "against": "1"},
        {"layer": LAYER, "id": 3, "method": "gradient"},
        {"layer": "features.2", "id": 3, "to": LAYER},
    ],
    "links": [FIRST],
    "facets": [FIRST],
    "gradients": [FIRST | {"side": side} for side in ("positive", "range")],
}
EXTRAS = ("attribution", "influence", "gradients", "gallery", "members", "icons", "tiles")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


def strict(description: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI description that forbids keys that it does not name."""
    closed = copy.deepcopy(description)
    for schema in closed["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return closed


def faults(description: dict[str, Any], kind: str, answer: Any) -> list[str]:
    """Return what in an answer is not as described."""
    schema = typescript.answers(description)[kind] | {"components": description["components"]}
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(answer)]


def requests_of(version: OpenVersion) -> dict[str, dict[str, Any]]:
    """Return parameters for every kind of the catalogue."""
    row, col = (int(version.array("cells", LAYER, 4, name)[4]) for name in ("row", "col"))
    words = {
        "of": "1",
        "since": f"{version.run.name}@{version.tag}",
        "id": 3,
        "start": 0,
        "text": "",
        "unit": 3,
        "number": 0,
    }
    known = GRID | {"row": row, "col": col} | words
    return {name: {p: known[p] for p in kind.parameters} for name, kind in catalogue.ANSWERS.items()}


def test_every_answer_of_the_server_has_exactly_its_shape(served: viewing.Served) -> None:
    description = strict(httpx.get(f"{served.address}/api/1/openapi.json").json())
    version = OpenRuns(str(served.store)).version("small")
    answers = [("runs", httpx.get(f"{served.address}/api/1/runs")), ("run", httpx.get(served.address + PATH))]
    for kind, parameters in requests_of(version).items():
        answers.append((kind, httpx.get(f"{served.address}{PATH}/{kind}", params=parameters, timeout=60)))
    for kind, requests in MODEL.items():
        for parameters in requests:
            answers.append((kind, httpx.post(f"{served.address}{PATH}/{kind}", params=parameters, timeout=240)))
    assert {kind for kind, _ in answers} == set(typescript.answers(description))
    for kind, answer in answers:
        assert answer.status_code == 200, (kind, answer.text)
        assert faults(description, kind, answer.json()) == [], kind


def test_answers_of_a_run_without_extras_have_their_shape(served: viewing.Served, tmp_path: Path) -> None:
    store = viewing.copied(served.store, tmp_path)
    opened = Store(store)
    first = opened.version("small", 1)
    opened.publish("bare", Contents(dict(first.about), [e for e in first.stages if e.stage not in EXTRAS]))
    version, description = OpenRuns(str(store)).version("bare"), strict(app.description())
    for kind, parameters in requests_of(version).items():
        if kind not in ("class", "speaks", "moved"):
            answer = json.loads(encode(catalogue.answer(version, kind, parameters)))
            assert faults(description, kind, answer) == [], kind


@pytest.mark.parametrize("path", [("icon", "cosine"), ("labels", 0, "share"), ("flat",), ("layer",)])
def test_mutant_a_key_missing_or_added_at_any_depth_is_seen(served: viewing.Served, path: tuple[Any, ...]) -> None:
    version, description = OpenRuns(str(served.store)).version("small"), strict(app.description())
    answer: Any = json.loads(encode(catalogue.answer(version, "cell", requests_of(version)["cell"])))
    assert faults(description, "cell", answer) == []
    for change in ("missing", "added"):
        inner = mutant = copy.deepcopy(answer)
        for step in path[:-1]:
            inner = inner[step]
        value = inner.pop(path[-1])
        if change == "added":
            inner |= {path[-1]: value, "another": value}
        assert faults(description, "cell", mutant) != []


def interfaces(types: str) -> dict[str, str]:
    return dict(re.findall(r"^interface (\w+) \{\n(.*?)^\}", types, re.M | re.S))


def test_the_generated_types_name_every_answer(tmp_path: Path) -> None:
    build.write_types(tmp_path)
    known = interfaces((tmp_path / "types.d.ts").read_text())
    answers = dict(re.findall(r'^  "?(\w+)"?: (.*);$', known["Answers"], re.M))
    assert set(answers) == {"runs", "run", *catalogue.ANSWERS, *MODEL}
    assert {name for names in answers.values() for name in names.split(" | ")} <= {*known, "null"}
    assert answers["cell"] == "Cell"
    assert "  coherence: number | null;\n" in known["Cell"]
    assert "  classes: [number, number, number][][] | null;\n" in known["CellDetails"].replace("(", "").replace(")", "")
    used = set(re.findall(r"\b[A-Z]\w+\b", re.sub(r"/\*\*.*?\*/", "", "".join(known.values())))) - {"Record"}
    assert used <= set(known), "a type that stands nowhere"


def test_mutant_a_type_without_its_declaration_is_seen() -> None:
    description = app.description()
    del description["components"]["schemas"]["IconFidelity"]
    known = interfaces(typescript.declarations(description))
    assert "IconFidelity" in known["Cell"]
    assert "IconFidelity" not in known


def test_a_schema_that_no_answer_uses_is_refused() -> None:
    with pytest.raises(ValueError, match="no TypeScript"):
        typescript.expression({"type": "tuple"})
