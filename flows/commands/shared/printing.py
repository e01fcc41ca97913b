"""Print data on stdout, as a table for people or as JSON, and remarks on stderr."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from flows.commands.shared import parsing, terminal

if TYPE_CHECKING:
    from atlas.arrays import Byte
    from storage.run import Run

Store = Annotated[
    str, typer.Option("--store", envvar="ACTLAS_STORE", help="The folder that keeps all results.", show_default=True)
]
Name = Annotated[str, typer.Argument(help="A run, or NAME@VERSION.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
DEFAULT_STORE = "actlas-store"
Answer = TypeVar("Answer")


def program() -> str:
    """Return the command that starts this program: its name, or its path where it is not on the PATH."""
    script = Path(sys.executable).with_name("actlas")
    return "actlas" if shutil.which("actlas") or not script.exists() else shlex.quote(relative(str(script)))


@contextmanager
def computing() -> Iterator[None]:
    """Report progress on stderr, and send there what a user's model prints, so that stdout has the answer alone."""
    from flows import progress

    with progress.reporting(progress.for_stream(sys.stderr)), redirect_stdout(sys.stderr):
        yield


def as_json(value: Any) -> None:
    """Print a value as JSON."""
    plain = not terminal.takes_unicode(sys.stdout)
    json.dump(_finite(value), sys.stdout, ensure_ascii=plain, indent=2 if sys.stdout.isatty() else None, default=_plain)
    sys.stdout.write("\n")


def as_table(rows: Iterable[Mapping[str, Any]], columns: Iterable[str] | None = None) -> None:
    """Print rows under their column names, aligned: text to the left, numbers to the right."""
    rows = list(rows)
    if not rows:
        return
    names = list(columns or rows[0])
    cells = [[_text(row.get(name)) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    right = [all(isinstance(row.get(name), int | float) for row in rows) for name in names]
    print("  ".join(_pad(name, widths[i], right[i]) for i, name in enumerate(names)).rstrip())
    for line in cells:
        print("  ".join(_pad(text, widths[i], right[i]) for i, text in enumerate(line)).rstrip())


def say(text: str) -> None:
    """Print a remark on stderr."""
    terminal.complain(text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not 1."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def relative(path: str) -> str:
    """Return a path relative to the working folder, or as it is where it lies outside."""
    inside = os.path.relpath(path)
    return path if inside.startswith("..") else inside


def in_store(store: str) -> str:
    """Return what a command needs after it to find a store: nothing for the default one."""
    return "" if store == DEFAULT_STORE else f" --store {shlex.quote(relative(store))}"


def size(count: float) -> str:
    """Format a number of bytes."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Format a duration."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _pad(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON cannot express, by null."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def write_sheet(draw: Callable[[Run, Answer], Byte], run: Run, answer: Answer, path: str) -> None:
    """Draw an answer as a sheet and write it as a PNG."""
    write_picture(draw(run, answer), parsing.png(path, "--sheet"), path)


def write_picture(picture: Byte, path: Path, named: str) -> None:
    """Write a picture as a PNG, and say so in the user's words for the path."""
    from storage.artefacts import pictures

    pictures.write_png(picture, path)
    say(f"wrote {named}")
