"""Runs whose fingerprints cannot cover what comes out say so, and runs record code changes as other models."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import corpus

from flows import progress
from flows.model import fingerprints
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.pipeline.summary import Summary
from storage.store.store import Store


def collect(images: Path, store: Path, model: str) -> Summary:
    return pipeline.run(corpus.config(images, store, model=model, until="collect"), Inline())


def test_a_model_that_does_not_run_in_float64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress.Quiet, "say", lambda self, text: said.append(text))
    images = corpus.write_images(tmp_path / "images", 6)
    collect(images, tmp_path / "store", "support.single:net")
    reason = "the model does not run in float64 (TypeError: torch.float64 is not supported)"
    line = f"model support.single:net: {reason}; it is identified by its code instead of its outputs"
    assert [text for text in said if "float64" in text] == [line]
    assert Store(tmp_path / "store").version("small").about["fingerprints"] == reason
    again = collect(images, tmp_path / "store", "support.single:net")
    assert (again.version, sum(outcome.computed for outcome in again.outcomes)) == (1, 0)


def test_other_code_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed again until the code is different."""
    images = corpus.write_images(tmp_path / "images", 6)
    collect(images, tmp_path / "store", "support.corpus:net")
    assert "fingerprints" not in Store(tmp_path / "store").version("small").about
    assert not any(o.computed for o in collect(images, tmp_path / "store", "support.corpus:net").outcomes)
    monkeypatch.setattr(fingerprints.source_code, "of_own", lambda *_: "other code")
    again = collect(images, tmp_path / "store", "support.corpus:net")
    assert {o.output.stage for o in again.outcomes if o.computed} == {"model", "collect"}
