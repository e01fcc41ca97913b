"""Share options between commands: a dataclass of options that a command takes as one parameter."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose dataclass parameters are replaced by their fields, which typer reads as options.

    Typer has no reusable option groups, but it reads a command's signature. The options stand where the group stood.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: hint for name, hint in hints.items() if isinstance(hint, type) and dataclasses.is_dataclass(hint)
    }

    @functools.wraps(command)
    def call(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
        command(**values)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        group = groups.get(parameter.name)
        parameters += _options(group) if group else [_parameter(parameter.name, hints, parameter.default)]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def _options(group: type[Any]) -> list[inspect.Parameter]:
    """Return the parameters that stand for a group."""
    hints = get_type_hints(group, include_extras=True)
    return [_parameter(field.name, hints, field.default) for field in dataclasses.fields(group)]


def _parameter(name: str, hints: dict[str, Any], default: Any) -> inspect.Parameter:
    """Return a keyword parameter: those with defaults may stand before those without."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[name])
