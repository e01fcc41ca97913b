"""Tell an exception of a user's code, the factory's module and what it imports, from one of ours."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_OURS = tuple(f"{Path(__file__).resolve().parents[2] / room}/" for room in ("flows", "atlas", "storage"))
_LIBRARIES = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def place(error: BaseException) -> str | None:
    """Return the file and line of the user's code that was running when an exception was raised; None if none was.

    What ran is the innermost frame that is not of a library.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(_OURS):
            return None
        if not frame.filename.startswith((*_LIBRARIES, "<")):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return None
