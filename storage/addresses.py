"""Refuse addresses that carry a password or a signature."""

from __future__ import annotations

from storage.errors import UsageError
from storage.masking import has_secret

REFUSED = (
    "has an address with a password or a signature in it, which would be stored and shown (not repeated here): leave it "
    "out, and give it to the package that reads such addresses by its environment variables or files"
)


def check(name: str, value: object) -> None:
    """Raise UsageError, which does not repeat it, if a value is or has an address with a password or a signature in it."""
    if isinstance(value, dict):
        for item in value.values():
            check(name, item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            check(name, item)
    elif value is not None and has_secret(str(value)):
        raise UsageError(f"{name} {REFUSED}")
