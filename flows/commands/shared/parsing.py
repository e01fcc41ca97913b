"""Parse option values that typer has no type for, and check output paths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from storage.errors import UsageError

RECIPES = ("fast", "best", "distill", "class", "crops", "cuts", "lucid", "simonyan", "maco")
ICON_RECIPES = ("fast", "best", "distill")
PENALTIES = ("tv", "l1", "l2", "blur")
BASELINES = ("mean", "black")
DREAM_VIEWS = ("dream", "sheet")
ICON_SOURCES = ("auto", "atlas", "drawn", "none")
"""Names that options take, known here without loading torch."""


def one_of(option: str, value: str | None, names: Iterable[str]) -> None:
    """Raise UsageError for a value that is none of the names; None is left out."""
    if value is not None and value not in names:
        raise UsageError(f"{option} {value} is not one of {', '.join(names)}")


def penalties(weighted: Mapping[str, float]) -> None:
    """Raise UsageError for an unknown penalty."""
    for name, weight in weighted.items():
        if name not in PENALTIES:
            raise UsageError(f"--penalty {name}={weight:g}: write one of {', '.join(PENALTIES)}, and a weight above 0")


def pairs(axes: Sequence[str] | None) -> dict[str, str] | None:
    """Parse a list of LAYER=AXES."""
    from atlas.model.axes import READINGS  # loads numpy, which --help needs not

    for pair in axes or []:
        if "=" not in pair:
            raise UsageError(f"--axes {pair}: write LAYER=AXES, as in features.1=bhwc")
        if pair.rpartition("=")[2] not in READINGS:
            raise UsageError(f"--axes {pair}: axes are one of {', '.join(READINGS)}")
    return {pair.rpartition("=")[0]: pair.rpartition("=")[2] for pair in axes} if axes else None


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Parse comma-separated numbers."""
    try:
        values = tuple(float(part) for part in text.split(",")) if text else None
    except ValueError:
        values = (math.nan,)
    if values is not None and not all(map(math.isfinite, values)):
        raise UsageError(f"{option} {text}: write numbers with commas, as in 0.485,0.456,0.406")
    return values


def weights(option: str, texts: Sequence[str] | None) -> dict[str, float]:
    """Parse a list of NAME=WEIGHT."""
    try:
        return {text.rpartition("=")[0]: float(text.rpartition("=")[2]) for text in texts or []}
    except ValueError:
        raise UsageError(f"{option} {' '.join(texts or [])}: write NAME=WEIGHT, as in tv=0.01") from None


def picture(out: str | None, json: bool, otherwise: str) -> Path | None:
    """Return the path of `--out`, None if the answer goes out as JSON alone. Raises UsageError where it can go nowhere."""
    if out is None and not json:
        raise UsageError(f"give --out FILE.png to save the picture, or --json for {otherwise} alone")
    return png(out) if out is not None else None


def png(path: str, option: str = "--out") -> Path:
    """Return the path of a PNG. Raises UsageError, before anything is computed, if it cannot be written there."""
    out = Path(path)
    if out.suffix.lower() != ".png":
        raise UsageError(f"{option} {path}: pictures are written as PNG; use a name that ends in .png")
    if out.is_dir():
        raise UsageError(f"{option} {path} is a folder; name a file in it")
    if not out.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {out.parent}")
    return out
