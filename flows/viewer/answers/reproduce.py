"""The commands that make a run, or the extras that it lacks."""

from __future__ import annotations

import shlex
from typing import Any

from flows import registry
from flows.config import RunConfig
from storage.run import Run

NOT_OPTIONS = ("store", "name", "images", "extras", "with")
SEVERAL = ("layers", "grids", "keep")
ONLY_IN_FILE = ("patches_per_image", "icon_tries", "attribution_per_cell")


def run_command(run: Run, extras: tuple[str, ...] = ()) -> str:
    """Return the `actlas run` command that repeats this run, with `extras` beside those it has."""
    config: dict[str, Any] = dict(run.version.about["config"])
    words = ["actlas", "run", "--images", str(run.version.about["images"]), "--name", run.name]
    for name, field in RunConfig.model_fields.items():
        value = config.get(name, config.get(field.alias or name))
        if name in NOT_OPTIONS or name in ONLY_IN_FILE or _is_default(value, field.default):
            continue
        words += _option(name, value)
    stages = sorted({entry.stage for entry in run.version.stages if entry.stage in registry.extras()} | set(extras))
    return shlex.join([*words, *(["--with", *stages] if stages else [])])


def settings_only_in_file(run: Run) -> dict[str, Any]:
    """Return the run's settings that have no option and must be given in a `--config` file."""
    config = run.version.about["config"]
    defaults = {name: RunConfig.model_fields[name].default for name in ONLY_IN_FILE}
    return {name: config[name] for name, default in defaults.items() if not _is_default(config.get(name), default)}


def _is_default(value: Any, default: Any) -> bool:
    plain = list(default) if isinstance(default, tuple) else default
    return value is None or value in ({}, []) or value == plain


def _option(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    if value is True:
        return [option]
    if isinstance(value, dict):
        return [option, *(f"{key}={item}" for key, item in value.items())]
    if name in SEVERAL:
        return [option, *map(str, value)]
    return [option, ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)]
