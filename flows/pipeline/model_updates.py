"""A model update: which weights a run is to be made anew with, and the settings it was made with before.

A version whose weights are a file says of it, in `weights`, its SHA-256 and when it was announced, if it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows import progress, registry
from flows.config import RunConfig
from storage.errors import ActlasError, BadWeights
from storage.models.weights import DOWNLOAD, RANDOM
from storage.store.places import checked_name
from storage.store.store import Store

EVENT = "actlas.model.updated"
RESOURCE = "actlas.run."


class Superseded(ActlasError):
    """Weights that were announced later are published already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """New weights for the model of a run: a file, the SHA-256 of its bytes, and when it was announced (ISO, UTC)."""

    name: str
    weights: str
    sha256: str
    announced: str

    @property
    def resource(self) -> str:
        """What the event is about, in Prefect's words."""
        return RESOURCE + self.name

    def payload(self) -> dict[str, str]:
        return asdict(self)


def announce(name: str, weights: str) -> Update:
    """Describe an update by the file's absolute path and fingerprint. Raises BadWeights if there is no such file."""
    path = Path(weights).absolute()
    now = datetime.now(UTC).isoformat(timespec="microseconds")  # of one width, so that text sorts as time
    return Update(name=checked_name("run", name), weights=str(path), sha256=fingerprint(path), announced=now)


def check(weights: str, sha256: str | None) -> None:
    """Raise BadWeights if a file is no longer the one announced."""
    if sha256 and (now := fingerprint(Path(weights))) != sha256:
        raise BadWeights(
            f"weights {weights} are not those announced (SHA-256 {sha256[:12]}… then, {now[:12]}… now); "
            "say `actlas model updated` again once the file is complete"
        )


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file's bytes. Raises BadWeights if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadWeights(f"weights {path}: {error.strerror}; the file must be where the run is made, too") from None


def stored_config(store: str, name: str, **changes: Any) -> RunConfig:
    """Return the settings that a run's current version was made with, changed where asked. Raises NotFound.

    What a version does not hold is read off its results: the stage it stopped after, and how many images it accepted as
    broken.
    """
    version = Store(Path(store)).version(name)
    about = version.about
    here = {"images": about["images"], "store": store, "name": name, "until": _until({e.stage for e in version.stages})}
    accepted = max(sum(about["rejected"].values()) / max(about["listed"], 1), RunConfig(images="").max_rejected)
    return RunConfig(**(about["config"] | here | {"max_rejected": accepted} | changes))


def regeneration(store: str, name: str, *, weights: str, sha256: str | None, announced: str | None) -> RunConfig:
    """Return the settings to make a run anew with after an update.

    Raises BadWeights if the file is not the one announced, and Superseded if a later one is published: Prefect does not
    start in their order what it let wait.
    """
    current = Store(Path(store)).version(name)
    later = current.about.get("weights", {}).get("announced", "")
    if announced and announced < later:
        raise Superseded(
            f"weights {weights} of {announced} are left out: {name}@{current.number} has those announced later, at {later}"
        )
    check(weights, sha256)
    return stored_config(store, name, weights=weights)


def follow(config: RunConfig) -> RunConfig:
    """Return the configuration with the weights of the run's current version, where that is one of the same model.

    So a schedule that names the weights of its first day goes on with those of the last `actlas model updated`. Raises
    BadWeights if they are not those any more that the version was made with.
    """
    store = Store(Path(config.store))
    if not store.versions(config.run_name):
        return config
    version = store.version(config.run_name)
    if version.about["model"] != config.model:
        return config
    weights, sha256 = version.about["config"].get("weights"), version.about.get("weights", {}).get("sha256")
    title = f"{version.name}@{version.number}"
    if sha256 and fingerprint(Path(weights)) != sha256:
        raise BadWeights(
            f"weights {weights} have changed since {title} was made; say `actlas model updated {version.name} --weights "
            f"{weights}` if that is meant"
        )
    if weights != whole(config).weights:
        progress.current().say(
            f"weights {weights or 'of the model itself'}, as {title} has them, instead of the schedule's "
            f"{config.weights or 'none'}; `actlas model updated` changes them"
        )
    return config.model_copy(update={"weights": weights})


def record(config: RunConfig, announced: str | None) -> dict[str, str]:
    """Return what a version says of its weights; nothing if they are no file.

    Where they are still those of the current version, they were announced when those were.
    """
    if not _is_file(config.weights):
        return {}
    sha256, store = fingerprint(Path(str(config.weights))), Store(Path(config.store))
    before = store.version(config.run_name).about.get("weights", {}) if store.versions(config.run_name) else {}
    when = announced or (before.get("announced") if before.get("sha256") == sha256 else None)
    return {"sha256": sha256} | ({"announced": when} if when else {})


def whole(config: RunConfig) -> RunConfig:
    """Return the configuration with the whole path of its weights file: a schedule may run in another folder."""
    absolute = str(Path(str(config.weights)).absolute())
    return config.model_copy(update={"weights": absolute}) if _is_file(config.weights) else config


def _is_file(weights: str | None) -> bool:
    return weights not in (None, RANDOM, DOWNLOAD) and Path(str(weights)).is_file()


def _until(stages: set[str]) -> str | None:
    reached = [step for step in registry.steps() if step in stages]
    return None if reached[-1] == registry.steps()[-1] else reached[-1]
