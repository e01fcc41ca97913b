"""A model update: which weights a run is to be made anew with, and the settings it was made with before."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.config import STAGES, RunConfig
from storage.errors import BadWeights
from storage.places import checked_name
from storage.store import Store

EVENT = "actlas.model.updated"
RESOURCE = "actlas.run."


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """New weights for the model of a run: a file, and the SHA-256 of its bytes when it was announced."""

    name: str
    weights: str
    sha256: str

    @property
    def resource(self) -> str:
        """What the event is about, in Prefect's words."""
        return RESOURCE + self.name

    def payload(self) -> dict[str, str]:
        return asdict(self)


def announce(name: str, weights: str) -> Update:
    """Describe an update by the file's absolute path and fingerprint. Raises BadWeights if there is no such file."""
    path = Path(weights).absolute()
    return Update(name=checked_name("run", name), weights=str(path), sha256=fingerprint(path))


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


def follow(config: RunConfig) -> RunConfig:
    """Return the configuration with the weights of the run's current version, where that is one of the same model.

    So a schedule that names the weights of its first day goes on with those of the last `actlas model updated`.
    """
    store = Store(Path(config.store))
    if not store.versions(config.run_name):
        return config
    before = store.version(config.run_name).about
    if before["model"] != config.model:
        return config
    return config.model_copy(update={"weights": before["config"].get("weights")})


def _until(stages: set[str]) -> str | None:
    reached = [stage for stage in STAGES if stage in stages]
    return None if reached[-1] == STAGES[-1] else reached[-1]
