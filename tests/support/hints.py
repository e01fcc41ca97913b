"""The remedies that messages name: options, commands and packages, in the sources and in what was printed."""

from __future__ import annotations

import ast
import functools
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from flows.cli import app, spread

ROOT = Path(__file__).parents[2]

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
TYPED = re.compile(r"`(actlas [^`]+)`|^ *(?:Example: )? *(actlas (?!viewer\b)[a-z].+?)(?:\n\n|\s*\Z)", re.M | re.S)
"""Matches a command in code, or one that has a paragraph of help; the viewer's own name begins alike."""

REMEDY = re.compile(r"--[a-z]|actlas[ \[]")

FOREIGN = {
    "--nthreads": "dask worker",
    "--nworkers": "dask worker",
    "--dereference": "tar",
    "--sparse": "tar",
    "--fetch-retries": "npm",
    "--fetch-timeout": "npm",
    "--no-audit": "npm",
    "--no-fund": "npm",
    "--silent": "npm",
    "--ignore-scripts": "npm",
    "--force-reinstall": "pip",
    "--no-deps": "pip",
}
"""Options of other programs that messages name."""

EMPTY = ("where", "printing.in_store(store)")
"""What may be left out of a command: the option of a store."""


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the commands, each with its words."""
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from leaves(child, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(leaves(typer.main.get_command(app)))


def options_of(command: Any) -> set[str]:
    """Return the options of a command."""
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }


EVERY = {option for command in COMMANDS.values() for option in options_of(command)} | {"--version"}


def messages(source: str) -> Iterator[str]:
    """Yield the texts of a module but for docstrings; what is filled in is 1, and the option of a store left out."""
    if not REMEDY.search(source):
        return
    nodes = list(ast.walk(ast.parse(source)))
    left_out = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    left_out |= {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if id(node) not in left_out and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif id(node) not in left_out and isinstance(node, ast.JoinedStr):
            yield "".join(map(_filled, node.values))


def _filled(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    return "" if isinstance(part, ast.FormattedValue) and ast.unparse(part.value) in EMPTY else "1"


def unknown_options(text: str) -> set[str]:
    """Return the options that no command has."""
    return set(OPTION.findall(text)) - EVERY - FOREIGN.keys()


def wrong_commands(text: str) -> list[str]:
    """Return the commands of a text that do not parse; one without arguments is a name, and need only exist."""
    found = [code or example for code, example in TYPED.findall(text)]
    return [f"{command}: {problem}" for command in found if (problem := problem_of(command)) is not None]


def problem_of(command: str) -> str | None:
    """Return why the command line refuses the form of a command, without running it."""
    try:
        words = shlex.split(command)[1:]
    except ValueError as error:
        return str(error)
    name = next((name for name in COMMANDS if words[: len(name.split())] == name.split()), None)
    if name is None:
        return None if words == ["--help"] else "there is no such command"
    arguments = words[len(name.split()) :]
    try:
        if arguments:
            COMMANDS[name].make_context(name, [_number(word) for word in spread(arguments)])
    except typer.TyperException as error:
        return str(getattr(error, "format_message", error.__str__)())
    return None


def _number(word: str) -> str:
    """Return a number for a placeholder, as in SECONDS; other words as they are."""
    return "1" if re.fullmatch(r"[A-Z]+", word) else word


def unknown_packages(text: str) -> set[str]:
    """Return the extras that a text installs and the project does not have."""
    named = {extra for found in re.findall(r"actlas\[([^\]]+)\]", text) for extra in found.split(",")}
    return named - set(project()["optional-dependencies"])


@functools.cache
def project() -> Mapping[str, Any]:
    """Return what pyproject.toml says of the project."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        found: Mapping[str, Any] = tomllib.load(file)["project"]
    return found


def stray_options(message: str, command: str) -> set[str]:
    """Return the options of a printed message that neither the command has that printed it, nor one that it names."""
    named = {command, *re.findall(r"`actlas (\w+(?: (?:list|show|updated|keep|rollback))?)", message)}
    named |= {"run"} if re.search(r"\brun (it|\S+) (again|with)", message) or "pass over images" in message else set()
    known = {option for name in named for option in options_of(COMMANDS[name])}
    return set(OPTION.findall(message)) - known - FOREIGN.keys()
