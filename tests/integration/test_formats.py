"""Every store ever kept in tests/data is read by this version: asked, compared, viewed, verified and exported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import brute, formats, viewing
from support.trees import tree

from flows import cli
from flows.viewer import assets
from flows.viewer.answers import catalogue
from storage.artefacts import cells
from storage.run import open_run

FORMATS = sorted(path.name for path in formats.KEPT.glob("format*") if path.is_dir())


@pytest.fixture(scope="module", params=FORMATS)
def kept(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def store(kept: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return formats.unpack(kept, tmp_path_factory.mktemp(kept))


@pytest.fixture(scope="module")
def recorded(kept: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((formats.KEPT / kept / formats.ANSWERS).read_text())
    return found


def test_questions_are_answered_as_when_it_was_made(store: Path, recorded: dict[str, Any]) -> None:
    before = tree(store)
    assert formats.answers(store) == recorded
    assert tree(store) == before


def test_mutant_other_answers_are_seen(store: Path, recorded: dict[str, Any]) -> None:
    assert formats.top(store, "small@1") != recorded["top"]["positive"] == formats.top(store, "small@2")


def coherences(store: Path) -> list[np.ndarray]:
    """Return the coherence of each cell as the run has it, and by its definition."""
    run = open_run(store, formats.RUN)
    return [run.cells(formats.LAYER, formats.GRID).coherence, brute.coherences(run, formats.LAYER, formats.GRID)]


def test_the_coherence_of_cells_is_read(store: Path) -> None:
    np.testing.assert_allclose(*coherences(store), atol=1e-5)


def test_mutant_another_column_read_as_coherence(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cells.FIRST_NAMES, "coherence", "count")
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(*coherences(store), atol=1e-5)


def test_it_is_verified(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["verify", "--store", str(store)]) == 0
    other = Path(shutil.copytree(store, tmp_path / "other"))
    flip(next(path for path in sorted(other.rglob("*.parquet"))))
    capsys.readouterr()
    assert cli.invoke(["verify", "--store", str(other)]) == 1
    assert "damaged" in capsys.readouterr().out


def flip(path: Path) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


OF_THE_SOURCE = {"crop", "thumbnail", "photo"}
"""Pictures cut from the images themselves, which are not kept."""


def test_the_viewer_shows_all_of_it(store: Path, recorded: dict[str, Any]) -> None:
    client = viewing.client(store)
    assert [row["name"] for row in client.get("/api/1/runs").json()["runs"]] == ["small"]
    asked = formats.addresses(client, recorded["cell"])
    assert set(asked) == {*catalogue.ANSWERS, *catalogue.PICTURES} - OF_THE_SOURCE
    for kind, parameters in asked.items():
        base = "/api/1/runs" if kind in catalogue.ANSWERS else "/pictures"
        answer = client.get(f"{base}/small/current/{kind}", params=parameters)
        assert answer.status_code == 200, f"{kind}: {answer.text}"
        assert answer.content, kind
    cell = client.get("/api/1/runs/small/current/cell", params=asked["cell"]).json()
    assert cell["count"] == recorded["cell"]["count"]


def test_images_that_are_gone_are_said_to_be(store: Path) -> None:
    answer = viewing.client(store).get("/pictures/small/current/photo", params={"id": 1})
    assert answer.status_code == 404
    assert len(answer.json()["error"].splitlines()) == 1


def test_it_is_exported(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = viewing.page()
    monkeypatch.setattr(assets, "load", lambda: built)
    assert cli.invoke(["export", "small", str(tmp_path / "page"), "--store", str(store)]) == 0
    assert (tmp_path / "page" / "index.html").stat().st_size > 0
