"""What a map is asked for, as tests name it and read it: chips, colours and the legend."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image

from support import viewing

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"
FENCE, COMB = 1, 2
NAMES = [name.split(",")[0] for name in viewing.CLASSES]
ORANGE, BLUE = "--for", "--against"


def ask_for(page: viewing.Page, *texts: str) -> None:
    """Name what to show as a newcomer does: one click into the field for each, the text, Enter."""
    for text in texts:
        page.see(".search input").click()
        page.keyboard.type(text)
        page.see("#found li[aria-selected=true]").wait_for()
        page.keyboard.press("Enter")
        page.settle()


def chips(page: viewing.Page) -> list[tuple[str, int]]:
    """Return the names and counts of the chips."""
    rows = page.see(".filter-bar .filter-chip").all_inner_texts()
    return [
        (name, int(re.findall(r"[\d,]+", words)[0].replace(",", "")))
        for name, words in (row.split("\n") for row in rows)
    ]


def coloured(page: viewing.Page, name: str) -> int:
    """Return how many pixels of the map have a colour of the theme, or nearly."""
    source = f"""() => {{
      const context = document.createElement('canvas').getContext('2d');
      context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('{name}');
      context.fillRect(0, 0, 1, 1);
      return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    }}"""
    with Image.open(io.BytesIO(page.shot(".stage"))) as shot:
        pixels = np.asarray(shot.convert("RGB"), np.int64)
    return int((np.abs(pixels - np.array(page.script(source))).sum(axis=2) < 30).sum())


def legend(page: viewing.Page) -> str:
    return str(page.see(".map-foot").inner_text()).replace("\n", " ")
