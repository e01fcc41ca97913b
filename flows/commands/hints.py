"""Commands that a message names, made such that they work when pasted: they get the store of the command that failed."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from collections.abc import Sequence

from storage import texts

COMMAND = re.compile(r"`(actlas (?!layers\b)[a-z]+ (?!updated`)[^`]+)`")
"""Matches a command with arguments; `layers` takes no store."""


def with_store(text: str, arguments: Sequence[str]) -> str:
    """Return a message whose commands name the store that these arguments do; ACTLAS_STORE holds for them anyway."""
    store = _store(arguments)
    if not store:
        return text
    return COMMAND.sub(lambda match: _named(match[1], store), text)


def _named(command: str, store: str) -> str:
    return f"`{command}`" if " --store " in command else f"`{command} --store {shlex.quote(store)}`"


def _store(arguments: Sequence[str]) -> str:
    """Return the store of `--store`, or of the file of `--config`; an empty text if neither names one."""
    if given := _value("--store", arguments):
        return given
    try:
        return str(tomllib.loads(texts.read(_value("--config", arguments))).get("store", ""))
    except (OSError, ValueError):
        return ""


def _value(option: str, arguments: Sequence[str]) -> str:
    """Return the last value of an option, as `--option value` or `--option=value`."""
    values = [after for before, after in itertools.pairwise(arguments) if before == option]
    values += [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{option}=")]
    return values[-1] if values else ""
