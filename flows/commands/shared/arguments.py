"""The arguments as they were typed: refuse secrets in them, and fit the remedies that a message names to them."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence

from storage import addresses, texts

COMMAND = re.compile(r"`(actlas (?!layers\b)[a-z]+ (?!updated`)[^`]+)`")
"""Matches a command with arguments; `layers` takes no store."""

OPTION = re.compile(r"`[^`]*`|(?<![\w-])(--[a-z][a-z-]*)")
"""Matches an option, and as a whole the code that another may stand in."""


def check_secrets(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raise UsageError, which repeats neither, for a secret in an argument or in a variable ACTLAS_… that is an address."""
    for name, value in _with_names(arguments):
        if not _has_words_first(value):
            addresses.check(name, value)
    for name, value in environment.items():
        if name.startswith("ACTLAS_") and name != "ACTLAS_TOKEN":
            addresses.check(name, value)


def _with_names(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each argument with the option before it, or with its place."""
    option = ""
    for number, argument in enumerate(arguments, 1):
        if argument.startswith("-"):
            option, _, value = argument.partition("=")
            yield option, value
        else:
            yield option or f"argument {number}", argument


def _has_words_first(value: str) -> bool:
    """Tell whether words precede the first slash, as in a question in SQL, so that the value is no address."""
    return " " in value.lstrip().partition("/")[0]


def with_store(text: str, arguments: Sequence[str]) -> str:
    """Return a message whose commands name the store that these arguments do; ACTLAS_STORE holds for them anyway."""
    store = _store(arguments)
    if not store:
        return text
    return COMMAND.sub(lambda match: _named(match[1], store), text)


def with_settings(text: str, options: Collection[str]) -> str:
    """Return a message whose options are those of the command; a setting that is no option of it is of its file."""
    if "--config" not in options:
        return text
    from flows.config import RunConfig, option  # loads pydantic

    settings = {option(name) for name in RunConfig.model_fields}

    def fitted(match: re.Match[str]) -> str:
        outside = match[1] and match[1] not in options and match[1] in settings
        return f"{match[1][2:].replace('-', '_')} of --config" if outside else match[0]

    return OPTION.sub(fitted, text)


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
