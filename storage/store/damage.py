"""Report any error over damaged bytes as Damaged, and an error of the system as CannotTell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import CannotTell, Damaged, StoreError
from storage.store import reading


@contextmanager
def errors_as_damage(path: Path) -> Iterator[None]:
    """Turn any error into Damaged, naming the file: codecs raise all sorts of errors, which rarely say where.

    An error of the system stands for bytes that were not read, so it becomes CannotTell. Lack of memory stays what it is.
    """
    try:
        yield
    except (MemoryError, StoreError):
        raise
    except FileNotFoundError as error:
        raise Damaged(f"{path} is missing; run `actlas verify --repair`") from error
    except Exception as error:
        cause = reading.system_error(error)
        if isinstance(cause, CannotTell):
            raise cause from error
        if cause is not None:
            raise reading.cannot_tell(path, cause) from error
        raise Damaged(f"{path} is damaged ({error}); run `actlas verify --repair`") from error
