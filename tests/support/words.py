"""Plain English as code: phrases that the texts avoid, and names that say nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Any

PHRASES = {
    "anew": "again; or name what is made",
    "nobody": "no client, no worker, no process",
    "somebody": "the user, the client; or untrusted",
    "of one's own": "your own, its own",
    "what is told": "the message, the settings",
    "who asks": "the client, the caller",
    "who leaves": "a client that disconnects",
    "who waits": "the waiting requests",
    "given up": "cancelled, abandoned; `given up on` is plain",
    "may pass": "transient",
    "passed over": "skipped",
    "let go of": "released, evicted, dropped",
    "at hand": "present, available",
    "thereof": "of it; or name the thing",
    "that which": "the noun",
}
"""Phrases of translated English, and what to write instead."""

FOLLOWED_BY = {"given up": r"(?!\s+on\b)"}

NAMES = frozenset({"told", "made", "found", "said", "asked", "seen"})
"""Participles that name no thing; a value is called by its noun."""

LITERAL = re.compile(
    r"//[^\n]*|/\*.*?\*/|(?P<text>'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|`(?:\\.|[^`\\])*`)", re.DOTALL
)
"""A comment or a string of JavaScript."""


def _pattern(phrase: str) -> re.Pattern[str]:
    words = re.escape(phrase).replace(r"\ ", r"\s+").replace("'", "['’]")
    return re.compile(rf"\b{words}\b{FOLLOWED_BY.get(phrase, '')}", re.IGNORECASE)


PATTERNS = {phrase: _pattern(phrase) for phrase in PHRASES}


def phrases(text: str) -> list[str]:
    """Return the phrases in a text that it should avoid, over line breaks too, as often as they stand there."""
    return [phrase for phrase, pattern in PATTERNS.items() for _ in pattern.finditer(text)]


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring: of modules, classes and functions, and below assignments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def javascript(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string of a JavaScript file; comments have none."""
    for match in LITERAL.finditer(source):
        if match["text"]:
            yield source[: match.start()].count("\n") + 1, match["text"]


def helps(command: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the help of a command and of its parameters, with those of the commands below it."""
    yield path, command.help or ""
    for parameter in command.params:
        yield f"{path} {parameter.name}", getattr(parameter, "help", None) or ""
    for name, child in getattr(command, "commands", {}).items():
        yield from helps(child, f"{path} {name}".strip())


def typed_dicts(sources: Iterable[str]) -> set[str]:
    """Return the names of all TypedDicts, also of those that extend another."""
    bases: dict[str, set[str]] = {}
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                bases.setdefault(node.name, set()).update(ast.unparse(base).split(".")[-1] for base in node.bases)
    known = {"TypedDict"}
    while more := {name for name, above in bases.items() if above & known} - known:
        known |= more
    return known - {"TypedDict"}


def names(source: str, dicts: Iterable[str] = ()) -> list[tuple[int, str]]:
    """Return line and name of what a source calls by a participle: variables, parameters, attributes, functions, imports.

    Fields of TypedDicts are exempt: they are keys of answers.
    """
    tree, dicts = ast.parse(source), set(dicts)
    fields = {
        id(item.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name in dicts
        for item in node.body
        if isinstance(item, ast.AnnAssign)
    }
    bound = ((node, name) for node in ast.walk(tree) if id(node) not in fields for name in _bound(node))
    return sorted((node.lineno, name) for node, name in bound if name.strip("_") in NAMES)


def _bound(node: Any) -> list[str]:
    """Return the names that a node binds."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.arg(arg=name):
            return [name]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case ast.alias(name=name, asname=alias):
            return [alias or name.split(".")[-1]]
    return []
