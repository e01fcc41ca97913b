"""The model of a published run as its version recorded it: loaded again only for what runs it."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch

from atlas.arrays import Layer
from flows import progress
from flows.config import RunConfig
from flows.model import prepared, published
from flows.model.prepared import PreparedModel
from storage import models
from storage.run import Run


class RecordedModel:
    """What plans need to know of a model: its layers and fingerprints; `loaded` is the model itself."""

    def __init__(self, run: Run, config: RunConfig, *, here: bool = True) -> None:
        self._run, self._config, self._here = run, config, here
        known = {record["name"]: Layer(**record) for record in run.model["layers"]}
        self.layers: Mapping[str, Layer] = {name: known[name] for name in config.chosen_layers}
        self.fingerprints: Mapping[str, str] = {name: run.model["fingerprints"][name] for name in self.layers}
        self.device: torch.device = prepared.device_of(config)
        self.note: str = run.version.about.get("fingerprints", "")
        self.varying: str = run.version.about.get("varying", "")

    @functools.cached_property
    def loaded(self) -> PreparedModel:
        """The model itself. Raises ModelError where it has changed since the run."""
        progress.current().say(f"model {self._config.model}: loading")
        model = prepared.prepare(self._config, here=self._here)
        published.check_fingerprints(self._run, model.model.spec, (model.fingerprints, model.traces), self.layers)
        return model

    @property
    def whole(self) -> str:
        """The fingerprint of the model's output."""
        return self.loaded.whole

    @property
    def model(self) -> models.Model:
        return self.loaded.model
