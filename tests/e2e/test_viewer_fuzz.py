"""The interface asked at random by its own description, with what the run knows and with what it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import corpus, viewing

from flows.viewer.answers import catalogue, cells

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
EXAMPLES = 60
KNOWN: dict[str, list[Any]] = {
    "name": ["small"],
    "version": ["current", "1"],
    "layer": ["features.2", "features.5"],
    "grid": [2, 4],
    "unit": list(range(8)),
    "row": [0, 1, 2, 3],
    "col": [0, 1, 2, 3],
    "of": ["0", "1", "2"],
    "against": ["3"],
    "id": list(range(41)),
    "sign": ["positive", "negative"],
    "level": list(range(9)),
    "method": ["gradient", "grad-cam"],
    "to": ["features.5"],
}
"""Words of the run: at random one would never ask for anything that is there."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A run among whose images one is broken and one is gone."""
    images, store = (tmp_path_factory.mktemp("fuzzed") / name for name in ("images", "store"))
    corpus.write_images(images, 40)
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    viewing.make_run(images, store)
    sorted(images.rglob("*.png"))[5].unlink()
    with viewing.serving(store) as found:
        yield found


def described(address: str) -> Any:
    return httpx.get(f"{address}/api/1/openapi.json").raise_for_status().json()


def tag_of(address: str) -> str:
    return str(httpx.get(f"{address}/api/1/runs/small/1").json()["tag"])


def narrowed(told: Any, tag: str) -> Any:
    """Return a description whose parameters are what the run knows."""
    for path in told["paths"].values():
        for operation in path.values():
            operation.pop("requestBody", None)
            for parameter in operation.get("parameters", []):
                known = KNOWN | {"since": [f"small@{tag}"]}
                if parameter["name"] in known:
                    parameter["schema"] = {"enum": known[parameter["name"]]}
                # Without an image, an upload is rightly refused.
                parameter["required"] = parameter["required"] or parameter["name"] == "id"
    return told


def fuzz(address: str, told: Any, folder: Path, *more: str) -> tuple[int, str]:
    """Let schemathesis ask; return how it ended and what it said."""
    (folder / "openapi.json").write_text(json.dumps(told))
    command = [sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", address, "--seed", "1"]
    chosen = ["--checks", "all", "--max-examples", str(EXAMPLES), "--request-timeout", "240"]
    command += ["--max-response-time", "240"]
    command += [*chosen, "--continue-on-failure", "--suppress-health-check", "all", *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    print(done.stdout[-8000:])
    return done.returncode, done.stdout + done.stderr


def test_nothing_that_can_be_asked_is_an_error_of_the_server(address: str, tmp_path: Path) -> None:
    code, said = fuzz(address, described(address), tmp_path)
    assert code == 0, said


def test_answers_are_as_the_description_says(address: str, tmp_path: Path) -> None:
    code, said = fuzz(address, narrowed(described(address), tag_of(address)), tmp_path, "--mode", "positive")
    assert code == 0, said


@pytest.mark.parametrize(("fault", "named"), [({"count": ["many"]}, "violates schema"), (None, "Server error")])
def test_mutant_an_answer_unlike_its_description_is_seen(
    fault: Any, named: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A number that has become a word, and an error of the server."""

    def faulty(*asked: Any, **more: Any) -> Any:
        if fault is None:
            raise RuntimeError("planted")
        return cells.columns(*asked, **more) | fault

    told = catalogue.ANSWERS["cells"]
    monkeypatch.setitem(catalogue.ANSWERS, "cells", catalogue.Kind(told.parameters, faulty, told.about))
    _, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store, uploads=False) as address:
        only = ("--include-path-regex", "/cells$", "--mode", "positive")
        code, said = fuzz(address, narrowed(described(address), tag_of(address)), tmp_path, *only)
    assert code == 1
    assert named in said
