"""The settings of a run that is made anew, and the weights that it follows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support import stores

from flows.config import RunConfig
from flows.pipeline import model_updates
from storage.errors import BadWeights, NotFound, UsageError


def test_a_run_is_made_anew_with_its_own_settings(tmp_path: Path) -> None:
    settings = {"model": "m", "layers": ["l"], "limit": 7, "seed": 3, "extras": ["gallery"], "weights": "old.pt"}
    stores.published(tmp_path, "listing", "collect", "patches", config=settings, rejected={"truncated": 20})
    made = model_updates.stored_config(str(tmp_path), "photos", weights="/new.pt")
    assert made == RunConfig(
        images="/photos",
        store=str(tmp_path),
        name="photos",
        model="m",
        layers=("l",),
        limit=7,
        seed=3,
        extras=("gallery",),
        weights="/new.pt",
        until="patches",
        max_rejected=0.2,
    )
    with pytest.raises(NotFound, match="photos"):
        model_updates.stored_config(str(tmp_path), "others")


def test_a_whole_run_is_made_anew_as_a_whole(tmp_path: Path) -> None:
    stores.published(tmp_path, "listing", "tiles", "gallery")
    made = model_updates.stored_config(str(tmp_path), "photos")
    assert (made.until, made.max_rejected) == (None, RunConfig(images="").max_rejected)


def test_a_schedule_follows_the_weights_of_the_last_update_of_its_own_model(tmp_path: Path) -> None:
    config = RunConfig(images="/photos", store=str(tmp_path), name="photos", model="m", weights="first.pt")
    assert model_updates.follow(config) == config
    stores.published(tmp_path, "listing", config={"model": "m", "weights": "/new.pt"})
    assert model_updates.follow(config) == config.model_copy(update={"weights": "/new.pt"})
    other = config.model_copy(update={"model": "another"})
    assert model_updates.follow(other) == other


def test_weights_are_named_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new.pt").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    update = model_updates.announce("photos", "new.pt")
    assert update.weights == str(tmp_path / "new.pt")
    assert update.sha256 == hashlib.sha256(b"weights").hexdigest()
    model_updates.check(update.weights, update.sha256)
    (tmp_path / "new.pt").write_bytes(b"weighty")
    with pytest.raises(BadWeights, match="not those announced"):
        model_updates.check(update.weights, update.sha256)
    with pytest.raises(BadWeights, match="No such file"):
        model_updates.announce("photos", "old.pt")
    with pytest.raises(UsageError, match=r"\.\./photos"):
        model_updates.announce("../photos", "new.pt")
