"""The public names: docs/api.md lists what the faces hand on, each loads, and its docstring has shapes and errors."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
API = (ROOT / "docs" / "api.md").read_text()
DOCUMENTS = {path.name: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}
FACES = ("storage", "storage.models", "flows.notebook")
NAMES = [f"{face}.{name}" for face in FACES for name in importlib.import_module(face).__all__]
ARRAYS = re.compile(r"\b(?:Byte|Float|Int|Tensor|NDArray|Picture)\b")
SHAPE = re.compile(r"`[a-z]( [a-z0-9])*`")


def listed(text: str) -> list[str]:
    """Return the names that the reference documents."""
    return re.findall(r"^::: (\S+)$", text, re.M)


def imported(text: str) -> list[str]:
    """Return the names of the table of imports."""
    rows = re.findall(r"^\| `from (\S+) import ([^`]+)` \|", text, re.M)
    return [f"{face}.{name}" for face, names in rows for name in names.split(", ")]


def load(name: str) -> Any:
    face, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(face), attribute)


def members(thing: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public methods and properties of a class as functions."""
    for name, member in vars(thing).items():
        found = member.fget if isinstance(member, property) else getattr(member, "func", member)
        if not name.startswith("_") and inspect.isfunction(found):
            yield name, found


def lacking(things: Mapping[str, Any]) -> list[str]:
    """Return what the docstrings lack: a docstring, the shape of an array, or the errors of a function."""
    parts = dict(things)
    for name, thing in things.items():
        if inspect.isclass(thing):
            parts |= {f"{name}.{member}": function for member, function in members(thing)}
    found = []
    for name, part in parts.items():
        text, returned = inspect.getdoc(part) or "", str(getattr(part, "__annotations__", {}).get("return", ""))
        found += [f"{name}: docstring"] if not text or text.startswith(f"{name.rpartition('.')[2]}(") else []
        # A method that returns a Picture has its shape from the class.
        arrays = ARRAYS.search(returned) and (name in things or "Picture" not in returned)
        found += [f"{name}: shape"] if arrays and not SHAPE.search(text) else []
        found += [f"{name}: errors"] if name in things and inspect.isfunction(part) and "Raises " not in text else []
    return found


def test_the_reference_lists_what_the_faces_hand_on() -> None:
    assert sorted(listed(API)) == sorted(imported(API)) == sorted(NAMES)


@pytest.mark.parametrize("line", ["::: storage.Run\n", "::: flows.notebook.show\n"])
def test_mutant_a_name_missing_from_the_reference_is_seen(line: str) -> None:
    assert sorted(listed(API.replace(line, ""))) != sorted(NAMES)


@pytest.mark.parametrize("face", FACES)
def test_a_face_has_nothing_else(face: str) -> None:
    module = importlib.import_module(face)
    with pytest.raises(AttributeError, match=re.escape(f"module {face!r} has no attribute 'nothing'")):
        module.nothing  # noqa: B018


def test_every_public_name_says_its_shapes_and_errors() -> None:
    assert lacking({name: load(name) for name in NAMES}) == []


def test_mutant_a_docstring_without_shape_or_errors_is_seen() -> None:
    def bare(x: int) -> Byte:  # type: ignore[name-defined]  # noqa: F821
        """Return a picture."""

    class Thing:
        """A thing."""

        @functools.cached_property
        def undocumented(self) -> int:
            return 1

    assert lacking({"bare": bare, "Thing": Thing}) == [
        "bare: shape",
        "bare: errors",
        "Thing.undocumented: docstring",
    ]


def gone(text: str) -> list[str]:
    """Return the names that Python in a document imports and that do not exist."""
    lines = re.findall(r"\bfrom ((?:atlas|flows|storage)[\w.]*) import ([\w, ]*\w)", text)
    names = [(module, name.strip()) for module, listed in lines for name in listed.split(",")]
    return [f"{module}.{name}" for module, name in names if not exists(module, name)]


def exists(module: str, name: str) -> bool:
    try:
        return hasattr(importlib.import_module(module), name) or bool(importlib.util.find_spec(f"{module}.{name}"))
    except ModuleNotFoundError:
        return False


def test_imports_in_the_documents_exist() -> None:
    assert {name: names for name, text in DOCUMENTS.items() if (names := gone(text))} == {}


def test_mutant_an_import_of_before_a_move_is_seen() -> None:
    text = "from flows.drawing import show, moved\n    from flows.explaining import explain  # as it was"
    assert gone(text) == ["flows.drawing.moved", "flows.explaining.explain"]
