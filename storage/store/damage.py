"""Report any error over damaged bytes as Damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import Damaged


@contextmanager
def errors_as_damage(path: Path) -> Iterator[None]:
    """Turn any error into Damaged, naming the file: codecs raise all sorts of errors, which rarely say where."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise Damaged(f"{path} is damaged ({error}); run `actlas verify --repair`") from error
