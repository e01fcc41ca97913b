"""Write to any terminal, log or closed stream: what its encoding lacks is replaced, never an error."""

from __future__ import annotations

import codecs
import contextlib
import os
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


NO_HOME = "/nonexistent"
"""The home of a user who has none, as Debian's accounts of services have it."""


def have_a_home() -> None:
    """Give a user without a home one that is not there: libraries would use a folder named `~`, or fail in other ways."""
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)
        if os.path.expanduser("~") == "~":
            os.environ["HOME"] = NO_HOME


def open_closed_streams() -> None:
    """Open what this process was started without of stdin, stdout and stderr: else a file of ours would get its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115, for good


def complain(text: str) -> None:
    """Print a line on stderr, if it can be written."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def output_is_lost() -> bool:
    """Tell whether what was printed cannot be written, and if so leave it out; Python would try again, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        drop_output()
        return True
    return False


def drop_output() -> None:
    """Leave out what was printed and not written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
