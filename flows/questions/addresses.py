"""Parse LAYER:UNIT and ROW,COL."""

from __future__ import annotations

from storage.errors import UsageError


def parse_unit(text: str) -> tuple[str, int]:
    """Parse `LAYER:UNIT` into layer and unit."""
    layer, colon, unit = text.rpartition(":")
    if not colon or not unit.isdigit():
        raise UsageError(f"{text!r} is not a unit; write LAYER:UNIT, as in _blocks.10:37")
    return layer, int(unit)


def parse_units(text: str) -> tuple[str, list[int]]:
    """Parse `LAYER:UNIT,UNIT …` into layer and units."""
    layer, colon, units = text.rpartition(":")
    parts = units.split(",")
    if not colon or not all(part.isdigit() for part in parts):
        raise UsageError(f"{text!r} names no units; write LAYER:UNIT, or several as in _blocks.10:37,38")
    return layer, [int(part) for part in parts]


def parse_cell(text: str) -> tuple[int, int]:
    """Parse `ROW,COL` into row and column."""
    row, comma, col = text.partition(",")
    if not comma or not row.isdigit() or not col.isdigit():
        raise UsageError(f"{text!r} is not a cell; write ROW,COL, as in 12,7")
    return int(row), int(col)
