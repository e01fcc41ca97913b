"""Small JSON records that carry their own hash: one canonical form, one seal, one kind of key."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from storage.errors import Damaged, Newer

FORMAT = 2
"""The newest format that this version reads and writes."""

SINCE_FORMAT_1 = 1
"""The format of records that every version reads: manifests and `happened.json`, whose bytes stay the same so."""


def canonical(value: object) -> bytes:
    """Render JSON so that equal values give equal bytes: sorted keys, no whitespace, ASCII, −0.0 as 0.0.

    Raises TypeError for values without a single JSON form (sets, numpy scalars, bytes, keys that aren't text) and
    ValueError for NaN and infinities.
    """
    return _render(_plain(value, "value"))


def stage_key(stage: str, code_version: int, inputs: Mapping[str, object], settings: Mapping[str, object]) -> str:
    """Return the key of a stage result, 32 hex digits of the SHA-256 of what it is computed from.

    `inputs` are keys and fingerprints, `settings` the parameters; neither includes times, hosts or batch sizes.
    """
    # "asked", and not "settings", as in every stored key.
    record = {"stage": stage, "code": code_version, "inputs": dict(inputs), "asked": dict(settings)}
    return hashlib.sha256(canonical(record)).hexdigest()[:32]


def seal(record: Mapping[str, object]) -> bytes:
    """Render a record with its own SHA-256 inside, so that `unseal` detects any changed byte."""
    plain = _plain(record, "record")
    return _render({**plain, "sha256": _digest(plain)}) + b"\n"


def unseal(data: bytes, name: str, *fields: str) -> dict[str, Any]:
    """Read a sealed record back, hash included. Raises Damaged, naming `name`, if a single bit differs, and Newer.

    With `fields`, a record that lacks one is Damaged too: a whole record of another kind lies in its place.
    """
    try:
        record = json.loads(data)
        rest = {key: value for key, value in record.items() if key != "sha256"}
        intact = record["sha256"] == _digest(rest) and data == _render(record) + b"\n"
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        intact = False
    if not intact:
        raise Damaged(
            f"{name} is damaged ({len(data)} bytes that don't match their own hash); run `actlas verify --repair`"
        )
    _check_format(record.get("actlas"), name)
    if lacking := [field for field in fields if field not in record]:
        raise Damaged(f"{name} is a record of another kind, without {lacking[0]!r}; run `actlas verify --repair`")
    return dict(record)


def _check_format(number: object, name: str) -> None:
    if type(number) is not int or number < 1:
        raise Damaged(f"{name} has format {number!r}, which no version of actlas writes; run `actlas verify --repair`")
    if number > FORMAT:
        raise Newer(f"{name} has format {number}, this version of actlas reads up to {FORMAT}; install a newer actlas")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def _digest(record: Mapping[str, object]) -> str:
    return sha256(_render(record))


def _render(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _plain(value: Any, at: str) -> Any:
    """Copy nested plain data; reject all types but JSON's own, subclasses (numpy's float64, enums) included."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ValueError(f"{at} is {value!r}; a record holds finite numbers only")
        return value + 0.0  # turns −0.0 into 0.0
    if kind in (list, tuple):
        return [_plain(item, f"{at}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if type(key) is not str:
                raise TypeError(f"{at} has the key {key!r}; a record's keys are text")
        return {key: _plain(item, f"{at}.{key}") for key, item in value.items()}
    raise TypeError(
        f"{at} is a {kind.__module__}.{kind.__qualname__}; a record holds None, bool, int, float, str, list, dict"
    )
