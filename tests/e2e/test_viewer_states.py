"""What the viewer does at its edges: the server gone and back, pictures that are dropped or too large, an answer that takes too long."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from support import slow_desk, viewing

from flows.viewer import desk, uploads

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"
API = "/api/1/runs/small/current"
ASKED = {"locate": {"layer": LAYER, "grid": 4}, "explain": {"layer": LAYER}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


def post(address: str, question: str, content: Any) -> httpx.Response:
    return httpx.post(f"{address}{API}/{question}", params=ASKED[question], content=content, timeout=240)


def plain(width: int, height: int) -> bytes:
    """Return a picture of one colour: many pixels in few bytes."""
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("question", ASKED)
def test_too_many_pixels_or_bytes_are_refused_in_one_line(served: viewing.Served, question: str) -> None:
    assert uploads.PIXELS_MOST == 40_000_000
    large = plain(8000, 5001)
    assert len(large) < 100_000
    many = post(served.address, question, large)
    said = "this image can't be used: bomb: 8,000 × 5,001 pixels, more than 40,000,000"
    assert (many.status_code, many.json()) == (400, {"error": said})
    padded = b"\x89PNG\r\n\x1a\n" + b"\0" * (uploads.LARGEST - 7)
    for sent in (padded, iter([padded])):  # with its length told, and in pieces
        heavy = post(served.address, question, sent)
        assert (heavy.status_code, heavy.json()) == (400, {"error": uploads.TOO_LARGE})
    assert "16 MiB" in uploads.TOO_LARGE
    allowed = post(served.address, question, padded[:-1])
    assert allowed.json()["error"] != uploads.TOO_LARGE
    assert post(served.address, question, plain(2000, 1000)).status_code == 200


def test_what_takes_too_long_is_ended_and_the_next_question_is_answered(
    served: viewing.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "serve_questions", slow_desk.serve)
    with viewing.serving(served.store, seconds=2.5) as address:
        late = post(address, "explain", plain(8, 8))
        said = "no answer within 2.5 s; try a smaller picture, or a shallower layer"
        assert (late.status_code, late.json()) == (429, {"error": said})
        assert post(address, "locate", plain(8, 8)).json() == "locate"
