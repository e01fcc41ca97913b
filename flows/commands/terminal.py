"""Write to any terminal or log: what its encoding lacks is replaced, never an error."""

from __future__ import annotations

import codecs
import sys
from typing import TextIO

HANDLER = "actlas.plain"
PLAIN = {
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "x",
    "…": "...",
    "→": "->",
    "·": "|",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "°": " deg",
    "∂": "d",
    "±": "+-",
    "≠": "!=",
}
"""What stands for our own signs where an encoding lacks them; other characters are written as escapes, and so not lost."""


def write_anything() -> None:
    """Let stdout and stderr write any text."""
    codecs.register_error(HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


def takes_unicode(stream: TextIO) -> bool:
    """Tell whether a stream can write every character."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return text for the characters that could not be written, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(
        PLAIN.get(char) or char.encode("ascii", "backslashreplace").decode() for char in characters
    ), error.end
