"""The commands about a run: each names its store and works in any folder."""

from __future__ import annotations

import importlib.util
import shlex
import sysconfig
from pathlib import Path
from typing import Any

from flows import registry
from flows.config import OF_A_SELECTION, RunConfig
from storage.run import Run

NOT_OPTIONS = ("store", "name", "images", "extras", "with")
PLACEHOLDER = "STORE"
"""What stands for the store in exported files, which may be read by others."""

NEW_WEIGHTS = "NEW-WEIGHTS.pt"
"""What stands for the weights of a model that was trained on."""

LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
"""Folders that are found without PYTHONPATH."""

SEVERAL = ("layers", "grids", "keep")
ALWAYS_TOLD = ("layers", "layout", "grids", "min_count", "recipe", "icon_size")
"""Settings of a selection that would be those of its source if they were left out."""

ONLY_IN_FILE = ("patches_per_image", "icon_tries", "attribution_per_cell")


def store_of(run: Run) -> str:
    """Return the absolute path of a run's store."""
    return str(Path(run.store.root).absolute())


def run_command(run: Run, store: str, extras: tuple[str, ...] = (), weights: str | None = None) -> str:
    """Return the `actlas run` command that repeats this run, with `extras` beside those it has, or with other weights.

    The extra `everything` stands for all of them.
    """
    config: dict[str, Any] = dict(run.version.about["config"]) | ({"weights": weights} if weights else {})
    images = [] if run.is_selection else ["--images", str(run.version.about["images"])]
    words = ["actlas", "run", *images, "--name", run.name, "--store", store]
    for name, field in RunConfig.model_fields.items():
        value = config.get(name, config.get(field.alias or name))
        if name in NOT_OPTIONS or name in ONLY_IN_FILE or not _is_told(run, name, value, field.default):
            continue
        words += _option(field.alias or name, value)
    stages = sorted({entry.stage for entry in run.version.stages if entry.stage in possible_extras(run)} | set(extras))
    if registry.EVERYTHING in extras:
        stages = [
            registry.EVERYTHING,
            *(name for name in stages if name in set(registry.extras()) - set(registry.everything())),
        ]
    command = _joined([*words, *(["--with", *stages] if stages else [])])
    return command.replace(store_of(run), store) if store == PLACEHOLDER else _with_code(run) + command


def _is_told(run: Run, name: str, value: Any, default: Any) -> bool:
    """Tell whether a command has to name a setting: what is left out of a selection is that of its source."""
    if run.is_selection and (name not in OF_A_SELECTION or (name in ALWAYS_TOLD and value is not None)):
        return name in ALWAYS_TOLD
    return not _is_default(value, default)


def possible_extras(run: Run) -> list[str]:
    """Return the extras that can be added to a run: to a selection, those that do not belong to units.

    None that needs class scores, if the model has none.
    """
    names = registry.extras_of_samples() if run.is_selection else registry.extras()
    return [name for name in names if not (registry.stage(name).scores and "no_scores" in run.version.about)]


def select_command(run: Run, store: str) -> str:
    """Return the command of a selection of this version as far as its question and its name."""
    command = shlex.join(["actlas", "run", "--of", f"{run.name}@{run.number}", "--store", store])
    return command if store == PLACEHOLDER else _with_code(run) + command


def _with_code(run: Run) -> str:
    """Return the variable that lets a model of the user's own be imported from any folder; empty for other models."""
    module, _, factory = str(run.version.about["model"]).partition(":")
    if not factory:
        return ""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return ""
    if spec is None or spec.origin is None or spec.origin.startswith(LIBRARIES):
        return ""
    file = Path(spec.origin).absolute()
    return f"PYTHONPATH={shlex.quote(str(file.parents[file.name == '__init__.py']))} "


def commands(run: Run, store: str) -> dict[str, str]:
    """Return the commands that repeat, open, export and check a version, and that follow a model trained on."""
    version, place = f"{run.name}@{run.number}", ["--store", store]
    update = {} if run.is_selection else {"update": run_command(run, store, weights=NEW_WEIGHTS)}
    return {
        "run": run_command(run, store),
        **update,
        "view": shlex.join(["actlas", "view", version, *place]),
        "export": shlex.join(["actlas", "export", version, f"{run.name}-atlas", *place]),
        "verify": shlex.join(["actlas", "verify", run.name, *place]),
    }


def settings_only_in_file(run: Run) -> dict[str, Any]:
    """Return the run's settings that have no option and must be given in a `--config` file."""
    config = run.version.about["config"]
    settings = [name for name in ONLY_IN_FILE if not run.is_selection or name in OF_A_SELECTION]
    defaults = {name: RunConfig.model_fields[name].default for name in settings}
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
    word = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return [f"{option}={word}"] if word.startswith("-") else [option, word]


def _joined(words: list[str]) -> str:
    """Quote the words of a command for a shell; of `--option=value` the value alone."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    option, is_given, value = word.partition("=")
    if is_given and option.startswith("--") and shlex.quote(option) == option:
        return f"{option}={shlex.quote(value)}"
    return shlex.quote(word)
