"""Refuse passwords and signatures in addresses, wherever a command takes an address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from storage import addresses


def check(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raise UsageError, which repeats neither, for a secret in an argument or in a variable ACTLAS_… that is an address."""
    for name, value in _named(arguments):
        if not _has_words_first(value):
            addresses.check(name, value)
    for name, value in environment.items():
        if name.startswith("ACTLAS_") and name != "ACTLAS_TOKEN":
            addresses.check(name, value)


def _named(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
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
