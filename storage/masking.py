"""Mask the user names, passwords and signatures of the addresses in a text."""

from __future__ import annotations

import re
from urllib.parse import unquote

MASK = "***"

# A port is followed by the path; whatever else follows a colon is a password, and may have a slash in it.
_USERINFO = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*:/{1,3}|(?<![:/\w])//)"
    r"(?P<info>[^\s/@\[]*:(?!\d{1,5}(?:[/?#\s\"')\],;]|$))[^\s@]*(?:@[^\s/@]*)*|[^\s/]*)@",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"(?P<before>[?&;#])(?P<name>[^=&;#?\s/]+)=(?P<value>[^&\s]*)")
_SECRET = re.compile(
    r"signature|token|secret|passw|credential|(?:api|access|auth)[-_]?key|authori"
    r"|(?:^|[-_.])(?:sig|sign|hmac|key|pass|pwd|pw|auth|code|sas|jwt|session)$",
    re.IGNORECASE,
)
_CONTAINERS = re.compile(r"(?:abfss?|az|adl|wasbs?):/", re.IGNORECASE)
"""Azure's addresses, CONTAINER@ACCOUNT: the part before the @ is no secret unless it has a colon."""


def masked(text: str) -> str:
    """Return a text with the user names, passwords and signatures of the addresses in it replaced by `***`."""
    return _PARAMETER.sub(_mask_parameter, _USERINFO.sub(_mask_userinfo, text))


def has_secret(text: str) -> bool:
    """Tell whether a text has an address with a user name, a password or a signature in it."""
    return (":/" in text and masked(text) != text) or ("//" in text and _USERINFO.sub(_mask_userinfo, text) != text)


def _mask_userinfo(match: re.Match[str]) -> str:
    if not match["info"] or (_CONTAINERS.match(match["scheme"]) and ":" not in match["info"]):
        return match[0]
    return match[0] if match["info"] == MASK else f"{match['scheme']}{MASK}@"


def _mask_parameter(match: re.Match[str]) -> str:
    if not match["value"] or not _SECRET.search(unquote(match["name"])):
        return match[0]
    return f"{match['before']}{match['name']}={MASK}"
