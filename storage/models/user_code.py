"""Tell an exception of a user's code, the factory's module and what it imports, from one of ours."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_OURS = tuple(f"{Path(__file__).resolve().parents[2] / room}/" for room in ("flows", "atlas", "storage"))
_LIBRARIES = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))


_SCHEDULERS = ("asyncio", "anyio", "prefect", "distributed")
"""Libraries whose exceptions stop what runs, whatever it is."""


def place(error: BaseException) -> str | None:
    """Return the file and line of the user's code that was running when an exception was raised; None if none was.

    What ran is the innermost frame that is not of a library. What ends a process or a task from outside has none.
    """
    if isinstance(error, KeyboardInterrupt | GeneratorExit) or type(error).__module__.partition(".")[0] in _SCHEDULERS:
        return None
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(_OURS):
            return None
        if not frame.filename.startswith((*_LIBRARIES, "<")):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return None
