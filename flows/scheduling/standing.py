"""The standing Prefect server that the environment or a profile names, found without loading Prefect's client.

Whoever loads Prefect imports this module first: it says in one line which of Prefect's settings Prefect refuses.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys

from storage import masking
from storage.errors import UsageError

_WITHOUT = "mend it, or use `actlas run --engine inline`, which needs no Prefect"


def _problem(error: Exception) -> str:
    """Return which setting is wrong and why, without its value, which Prefect's own message has."""
    errors = getattr(error, "errors", None)
    if errors is None:
        field = re.search(r'field "(\w+)"', str(error))
        field_name, why = field[1] if field else "", "it cannot be read"
    else:
        first = errors(include_input=False, include_url=False, include_context=False)[0]
        field_name, why = str((first["loc"] or ("",))[-1]), str(first["msg"]).removeprefix("Value error, ")
    ends = f"_{field_name.upper()}"
    names = sorted(name for name in os.environ if name.startswith("PREFECT_") and field_name and name.endswith(ends))
    return f"{', '.join(names) or field_name or 'its settings'} ({masking.masked(why)})"


with contextlib.redirect_stderr(io.StringIO()) as _output:  # Prefect prints the values of what it refuses
    try:
        from prefect.settings import PREFECT_API_URL

        PREFECT_API_URL.value()  # reads all settings
    except Exception as _error:
        raise UsageError(f"Prefect refuses {_problem(_error)}; {_WITHOUT}") from None
sys.stderr.write(masking.masked(_output.getvalue()))


def address() -> str | None:
    """Return the address of the configured server, None if a run has to start one."""
    return PREFECT_API_URL.value() or None
