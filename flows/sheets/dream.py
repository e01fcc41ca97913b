"""The sheet of `actlas dream`: a picture before and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from atlas.arrays import Byte
from flows.drawing.answers import DreamAnswer
from flows.sheets import contact_sheet
from flows.sheets.contact_sheet import Tile

SHOWN = 800
"""Most pixels of the longer side of a picture on the sheet."""


def draw(answer: DreamAnswer, before: Byte, after: Byte) -> Byte:
    """Return the dream itself, or with `view` sheet the picture before and after, `h w 3`."""
    if answer["view"] == "dream":
        return after
    value = answer["value"]
    shown = [
        Tile(picture=_at_most(before), left="before", right=f"value {_short(value['before'])}"),
        Tile(picture=_at_most(after), left="after", right=f"value {_short(value['after'])}"),
    ]
    guide = f", guided by {Path(answer['guide']).name}" if answer["guide"] else ""
    height, width = answer["size"]
    course = f"{len(answer['octaves'])} octaves of {answer['iterations']} steps, seed {answer['seed']}"
    remark = f"{answer['model']}  ·  {width} x {height} px  ·  {course}  ·  value: the objective's mean over tiles"
    image = Path(answer["image"]).name
    return contact_sheet.sheet(shown, f"{image}, dreaming of {answer['target']}{guide}", remark, columns=2)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _at_most(picture: Byte) -> Byte:
    shrunk = Image.fromarray(picture)
    shrunk.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    return np.asarray(shrunk)
