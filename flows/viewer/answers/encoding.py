"""Encode answers as JSON."""

from __future__ import annotations

import json
from typing import Any

from typing_extensions import TypedDict


class RefusedRequest(TypedDict):
    """Why a request was refused, in one line."""

    error: str


def encode(answer: Any) -> bytes:
    """Return an answer as compact JSON. Raises ValueError for NaN and infinity."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
