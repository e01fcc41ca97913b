"""The token of the viewer: one per user, in a file that only this user can read, so that addresses outlive a restart."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from storage.errors import UsageError

SHORTEST = 8


def folder() -> Path:
    """Return the user's configuration folder of actlas, after the XDG base directory specification."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(configured) if os.path.isabs(configured) else Path.home() / ".config") / "actlas"


def file() -> Path:
    """Return the path of the file with the lasting token."""
    return folder() / "viewer-token"


def lasting() -> str:
    """Return this user's lasting token; make it the first time. Raises UsageError where the file is unsafe or empty."""
    try:
        place = file()
        if not os.path.lexists(place):
            write_private(place, secrets.token_urlsafe(32) + "\n", replace=False)
    except (OSError, RuntimeError) as error:  # a read-only disk; a user without a home
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"your token cannot be kept in {getattr(error, 'filename', None) or 'your home'}: {reason}; give one by "
            "ACTLAS_TOKEN, or let in every user of this machine with --no-token"
        ) from None
    return read(place)


def read(place: Path) -> str:
    """Return the token in a file. Raises UsageError if other users can read the file, or if it has no token."""
    try:
        status = place.stat()
        token = place.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token in {place} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if place == file() and (others := _others(status)):
        raise UsageError(f"{place} {others}, who may know the token: remove it, and a new one is made")
    return checked(token, f"the token in {place}", "remove the file, and a new one is made")


def _others(status: os.stat_result) -> str:
    """Return how other users can know what is in a file of this user; an empty text if they cannot."""
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    mode = stat.S_IMODE(status.st_mode)
    return f"can be read by other users (mode {mode:04o})" if mode & 0o077 else ""


def checked(token: str, name: str, remedy: str) -> str:
    """Return a token that is long enough and fits into a header. Raises UsageError, which does not repeat it."""
    if len(token) < SHORTEST:
        raise UsageError(f"{name} is shorter than {SHORTEST} characters; {remedy}")
    if not token.isascii() or not token.isprintable():
        raise UsageError(f"{name} has characters other than printable ASCII; {remedy}")
    return token


def write_private(place: Path, text: str, *, replace: bool) -> None:
    """Write a file that only this user can read, whole or not at all; without `replace`, keep the one that is there."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(text)
        if replace:
            os.replace(draft, place)
        else:
            _link(draft, place)
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, place: Path) -> None:
    try:
        os.link(draft, place)
    except FileExistsError:  # another viewer of this user was first
        return
    except OSError:  # no hard links here
        os.replace(draft, place)


def cookie(token: str, port: int) -> str:
    """Return the value of the cookie: it opens the viewer at this port, and does not tell the token.

    Browsers send a cookie to every port of a host, so another user's server may come to see it.
    """
    return hmac.new(token.encode(), f"actlas viewer cookie {port}".encode(), hashlib.sha256).hexdigest()
