"""Model updates: the new weights of a run, and the settings to repeat it with.

A version whose weights are a file records, in `weights`, its SHA-256 and the time of its announcement, if there was one.
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
from storage.models.specs import is_file, split_weights
from storage.store.places import checked_name
from storage.store.store import Store

EVENT = "actlas.model.updated"
RESOURCE = "actlas.run."


class Superseded(ActlasError):
    """Weights that were announced later are already published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """New weights for the model of a run: a file, the SHA-256 of its bytes, and when it was announced (ISO, UTC)."""

    name: str
    weights: str
    sha256: str
    announced: str

    @property
    def resource(self) -> str:
        """The id of the run as a Prefect resource."""
        return RESOURCE + self.name

    def payload(self) -> dict[str, str]:
        """Return the event's payload."""
        return asdict(self)


def announce(name: str, weights: str) -> Update:
    """Describe an update by the file's absolute path and fingerprint. Raises BadWeights if there is no such file."""
    path = Path(weights).absolute()
    now = datetime.now(UTC).isoformat(timespec="microseconds")  # fixed width, so that text sorts as time
    return Update(name=checked_name("run", name), weights=str(path), sha256=fingerprint(path), announced=now)


def check(weights: str, sha256: str | None) -> None:
    """Raise BadWeights if a file is no longer the one announced."""
    if sha256 and (now := fingerprint(Path(weights))) != sha256:
        raise BadWeights(
            f"weights {weights} are not those announced (SHA-256 {sha256[:12]}… then, {now[:12]}… now); "
            "say `actlas model updated` again once the file is complete"
        )


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, also for FILE#KEY. Raises BadWeights if it cannot be read."""
    try:
        with split_weights(str(path))[0].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadWeights(f"weights {path}: {error.strerror}; the file must be where the run is made, too") from None


def stored_config(store: str, name: str, **changes: Any) -> RunConfig:
    """Return the settings of a run's current version, with `changes`. Raises NotFound.

    Settings that a version does not record are inferred from its results: the stage it stopped after, and the share of
    broken images it accepted.
    """
    version = Store(Path(store)).version(name)
    about = version.about
    here = {
        "images": about["images"],
        "store": store,
        "name": name,
        "until": _last_step({e.stage for e in version.stages}),
    }
    accepted = max(sum(about["rejected"].values()) / max(about["listed"], 1), RunConfig(images="").max_rejected)
    return RunConfig(**(about["config"] | here | {"max_rejected": accepted} | changes))


def regeneration(store: str, name: str, *, weights: str, sha256: str | None, announced: str | None) -> RunConfig:
    """Return the settings to repeat a run with after an update.

    Raises BadWeights if the file is not the one announced, and Superseded if a later one is published: Prefect may start
    pending runs in any order.
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
    """Return the configuration with the weights of the run's current version, if that has the same model.

    So a schedule that names the weights of its first day goes on with those of the last `actlas model updated`. Raises
    BadWeights if the file has changed since the version was made.
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
    if weights != with_absolute_weights(config).weights:
        progress.current().say(
            f"weights {weights or 'of the model itself'}, as {title} has them, instead of the schedule's "
            f"{config.weights or 'none'}; `actlas model updated` changes them"
        )
    return config.model_copy(update={"weights": weights})


def record(config: RunConfig, announced: str | None) -> dict[str, str]:
    """Return a version's record of its weights, empty if they are no file.

    Weights equal to those of the current version keep the time of their announcement.
    """
    if not is_file(config.weights):
        return {}
    sha256, store = fingerprint(Path(str(config.weights))), Store(Path(config.store))
    before = store.version(config.run_name).about.get("weights", {}) if store.versions(config.run_name) else {}
    time = announced or (before.get("announced") if before.get("sha256") == sha256 else None)
    return {"sha256": sha256} | ({"announced": time} if time else {})


def with_absolute_weights(config: RunConfig) -> RunConfig:
    """Return the configuration with the absolute path of its weights file: a schedule may run in another folder."""
    absolute = str(Path(str(config.weights)).absolute())
    return config.model_copy(update={"weights": absolute}) if is_file(config.weights) else config


def _last_step(stages: set[str]) -> str | None:
    reached = [step for step in registry.steps() if step in stages]
    return None if reached[-1] == registry.steps()[-1] else reached[-1]
