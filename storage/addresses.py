"""Addresses: refuse those that carry a password or a signature, and tell which lead here."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

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


def leads_here(address: str) -> bool:
    """Tell whether an address leads to this machine itself, and so needs no proxy."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return is_loopback(host) or host in ("0.0.0.0", "::")  # noqa: S104, as PREFECT_API_URL may have it


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
