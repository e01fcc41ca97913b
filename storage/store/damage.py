"""What a reader makes of broken bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import Damaged


@contextmanager
def any_error_is_damage(path: Path) -> Iterator[None]:
    """Name the file: what a codec raises over broken bytes depends on the codec, and says little of where."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise Damaged(f"{path} is damaged ({error}); run `actlas verify --repair`") from error
