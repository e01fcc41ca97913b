"""Model updates: the new weights of a run, and the settings to repeat it with.

A version whose weights are a file records, in `weights`, its SHA-256 and the time of its announcement, if there was one.
An announcement waits in the store until a version has its weights, or later ones.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows import progress, registry
from flows.config import RunConfig
from storage.errors import ActlasError, BadWeights, NoSpace, UsageError, first_line
from storage.models.specs import is_file, split_weights
from storage.run import Run
from storage.store import updates
from storage.store.places import checked_name, is_store
from storage.store.store import Store

EVENT = "actlas.model.updated"
RESOURCE = "actlas.run."

log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run's weights stand as it begins: the waiting update, and the current version's weights."""

    update: Update | None
    weights: tuple[str | None, str | None] | None


def announce(name: str, weights: str) -> Update:
    """Describe an update by the file's absolute path and fingerprint. Raises BadWeights if there is no such file."""
    path = Path(weights).absolute()
    return Update(name=checked_name("run", name), weights=str(path), sha256=fingerprint(path), announced=now())


def now() -> str:
    """Return the time of an announcement, of a fixed width, so that text sorts as time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def keep(store: str, update: Update) -> bool:
    """Keep an announcement in the store; return whether it is there, and if it is not, say why in a warning.

    One announced earlier than the kept one does not replace it.
    """
    if not is_store(store):
        log.warning("%s is not a store, so the update of %s is not kept there; `--store` names one", store, update.name)
        return False
    record = {"weights": update.weights, "weights_sha256": update.sha256}
    try:
        updates.keep(Store(Path(store)).places, update.name, update.announced, record)
    except (OSError, NoSpace) as error:
        log.warning("the update of %s cannot be kept in %s: %s", update.name, store, first_line(error))
        return False
    return True


def pending(store: str, name: str) -> Update | None:
    """Return the kept announcement of a run, if it is later than the one that its current version has."""
    opened = Store(Path(store))
    record = updates.read(opened.places, name)
    if record is None or record["announced"] <= _announced(opened, name):
        return None
    return Update(name=name, weights=record["weights"], sha256=record["weights_sha256"], announced=record["announced"])


def standing(config: RunConfig) -> Standing:
    """Return the announcement that waits as a run begins, and the weights of the version before it."""
    return Standing(pending(config.store, config.run_name), _weights(Store(Path(config.store)), config.run_name))


def conclude(config: RunConfig, before: Standing, *, settled: bool) -> None:
    """Remove the announcement that waited as a run began, if a version has its weights now, or others by choice.

    A run of the command line that changes the weights overrules it; one that is `settled` has looked at it.
    """
    name, opened = config.run_name, Store(Path(config.store))
    updates.drop(opened.places, name, _announced(opened, name))
    if before.update is None or pending(config.store, name) != before.update:
        return
    title = f"weights {before.update.weights}, announced at {before.update.announced},"
    if settled or before.weights is None or before.weights == _weights(opened, name):
        progress.current().say(f"{title} wait for the next scheduled run")
        return
    progress.current().say(f"{title} are left out, since this run names others")
    updates.drop(opened.places, name, before.update.announced)


def _weights(store: Store, name: str) -> tuple[str | None, str | None] | None:
    """Return the weights of a run's current version and their SHA-256; None if there is no version."""
    if not store.versions(name):
        return None
    about = store.version(name).about
    return about["config"].get("weights"), about.get("weights", {}).get("sha256")


def _announced(store: Store, name: str) -> str:
    """Return when the weights of a run's current version were announced, empty if they were not."""
    if not store.versions(name):
        return ""
    time: str = store.version(name).about.get("weights", {}).get("announced", "")
    return time


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


def source_config(run: Run, store: str) -> RunConfig:
    """Return the settings that a version was made with, in this store."""
    here = {"images": run.version.about["images"], "store": store, "name": run.name}
    return RunConfig(**(run.version.about["config"] | here))


def stored_config(store: str, name: str, **changes: Any) -> RunConfig:
    """Return the settings of a run's current version, with `changes`. Raises NotFound.

    Settings that a version does not record are inferred from its results: the stage it stopped after, and the share of
    broken images it accepted.
    """
    version = Store(Path(store)).version(name)
    about = version.about
    if "selection" in about:
        source = "{of}@{version}".format(**about["selection"])
        raise UsageError(f"{name} is a selection of {source}, whose model it has; update that run, and select again")
    here = {
        "images": about["images"],
        "store": store,
        "name": name,
        "until": _last_step({e.stage for e in version.stages}),
    }
    accepted = max(sum(about["rejected"].values()) / max(about["listed"], 1), RunConfig(images="").max_rejected)
    return RunConfig(**(about["config"] | here | {"max_rejected": accepted} | changes))


def regeneration(store: str, name: str, *, weights: str, sha256: str | None, announced: str | None) -> RunConfig:
    """Return the settings to repeat a run with after an update, or after a later one that is waiting.

    Raises BadWeights if the file is not the one announced, and Superseded if a later one is published: Prefect may start
    pending runs in any order.
    """
    opened = Store(Path(store))
    later = _announced(opened, name)
    if announced and announced < later:
        title = f"{name}@{opened.version(name).number}"
        raise Superseded(
            f"weights {weights} of {announced} are left out: {title} has those announced later, at {later}"
        )
    waiting = pending(store, name)
    if announced and waiting is not None and announced < waiting.announced and _is_intact(waiting):
        return stored_config(store, name, weights=waiting.weights)
    check(weights, sha256)
    return stored_config(store, name, weights=weights)


def follow(config: RunConfig) -> RunConfig:
    """Return the configuration with the last announced weights, or those of the run's current version.

    So a schedule that names the weights of its first day goes on with those of the last `actlas model updated`. If its
    file is gone or has changed, a line says so, and the version's weights stay. A version of another model is not
    followed. Raises BadWeights if the file of the version has changed since that was made.
    """
    store, name = Store(Path(config.store)), config.run_name
    version = store.version(name) if store.versions(name) else None
    if version is not None and version.about["model"] != config.model:
        return config
    waiting = pending(config.store, name)
    if waiting is not None and _is_intact(waiting):
        return _following(config, waiting.weights, f"announced at {waiting.announced}")
    if version is None:
        return config
    weights, sha256 = version.about["config"].get("weights"), version.about.get("weights", {}).get("sha256")
    title = f"{version.name}@{version.number}"
    if sha256 and fingerprint(Path(weights)) != sha256:
        raise BadWeights(
            f"weights {weights} have changed since {title} was made; say `actlas model updated {version.name} --weights "
            f"{shlex.quote(weights)} --store {shlex.quote(config.store)}` if that is meant"
        )
    return _following(config, weights, f"as {title} has them")


def _following(config: RunConfig, weights: str | None, reason: str) -> RunConfig:
    """Return the configuration with these weights; say so if it names others."""
    if weights != with_absolute_files(config).weights:
        progress.current().say(
            f"weights {weights or 'of the model itself'}, {reason}, instead of the schedule's "
            f"{config.weights or 'none'}; `actlas model updated` changes them"
        )
    return config.model_copy(update={"weights": weights})


def _is_intact(update: Update) -> bool:
    """Tell whether the file of a waiting announcement is still the one announced; say so if it is not."""
    try:
        check(update.weights, update.sha256)
    except BadWeights as error:
        progress.current().say(f"the update of {update.announced} is left out: {error}")
        return False
    return True


def record(config: RunConfig, announced: str | None) -> dict[str, str]:
    """Return a version's record of its weights, empty if they are no file.

    Weights equal to those of a waiting announcement, or of the current version, keep the time of their announcement.
    """
    if not is_file(config.weights):
        return {}
    sha256, store = fingerprint(Path(str(config.weights))), Store(Path(config.store))
    before = store.version(config.run_name).about.get("weights", {}) if store.versions(config.run_name) else {}
    waiting = pending(config.store, config.run_name)
    if waiting is not None and waiting.sha256 == sha256:
        announced = max(waiting.announced, announced or "")
    time = announced or (before.get("announced") if before.get("sha256") == sha256 else None)
    return {"sha256": sha256} | ({"announced": time} if time else {})


def with_absolute_files(config: RunConfig) -> RunConfig:
    """Return the configuration with the absolute paths of its files: schedule and viewer may run in another folder."""
    files = {"weights": config.weights} if is_file(config.weights) else {}
    names = ("classes", "labels", "image_keys", "table")
    files |= {name: getattr(config, name) for name in names if Path(getattr(config, name) or "").is_file()}
    return config.model_copy(update={name: str(Path(str(file)).absolute()) for name, file in files.items()})


def _last_step(stages: set[str]) -> str | None:
    reached = [step for step in registry.steps() if step in stages]
    return None if reached[-1] == registry.steps()[-1] else reached[-1]
