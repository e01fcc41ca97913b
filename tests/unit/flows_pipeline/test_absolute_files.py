"""A version records its files by absolute paths, so that commands about it work in any folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.config import RunConfig
from flows.pipeline.model_updates import with_absolute_files


def test_files_get_absolute_paths_and_other_words_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("w.pt", "c.txt", "l.csv"):
        Path(name).write_text("x")
    config = with_absolute_files(RunConfig(images=".", weights="w.pt#ema", classes="c.txt", labels="l.csv"))
    assert config.weights == str(tmp_path / "w.pt#ema")
    assert (config.classes, config.labels) == (str(tmp_path / "c.txt"), str(tmp_path / "l.csv"))
    for word in ("random", "download", None):
        assert with_absolute_files(RunConfig(images=".", weights=word)).weights == word
    assert with_absolute_files(RunConfig(images=".", classes="nowhere.txt")).classes == "nowhere.txt"
