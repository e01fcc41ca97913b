"""Check the method, host, origin and token of every request, and add security headers to every response."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.viewer import access_token

COOKIE = "actlas"
"""The cookie's name, before the port: cookies ignore ports, so two viewers on one machine would overwrite each other's."""
COOKIE_LASTS = 365 * 24 * 3600
"""Seconds: a bookmark outlives restarts of viewer and browser, as the token does."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>actlas</title></head>
<body><h1>This viewer is closed</h1><p>{why}.</p></body>
</html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Access rules: `hosts` are the accepted host names; None accepts any numeric address and the names in `named`."""

    hosts: Sequence[str] | None
    named: Sequence[str] = ()
    token: str | None = None

    def knows(self, host: str) -> bool:
        """Tell whether a Host header names this server, which prevents DNS rebinding."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
        name = name.strip("[]").lower()
        if self.hosts is not None:
            return name in self.hosts
        return name in self.named or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class SecurityMiddleware:
    """Wraps the application: refuses requests that the rules forbid, and adds the headers to every response."""

    def __init__(self, app: ASGIApp, rules: Rules, uploads: Sequence[str]) -> None:
        """Wrap `app`; `uploads` are the path suffixes that accept POST."""
        self.app, self.rules, self.uploads = app, rules, tuple(uploads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        refusal = self._refuse(scope)
        inner = {**scope, "method": "GET"} if head else scope
        await (refusal or self.app)(inner, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self.rules.knows(headers.get("host", "")):
            return _refusal(400, "this address is not one that the viewer was started for")
        upload = scope["path"].endswith(self.uploads) and scope["path"].startswith("/api/")
        if upload and scope["method"] == "POST" and not _same_origin(headers):
            return _refusal(403, "another page may not ask this")
        allowed = ("POST",) if upload else ("GET", "HEAD")
        if scope["method"] not in allowed:
            message = f"{scope['method']} is not understood here; {' and '.join(allowed)} {'are' if len(allowed) > 1 else 'is'}"
            return _refusal(405, message, {"Allow": ", ".join(allowed)})
        return self._check_token(scope, headers)

    def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        """Return None for an allowed request, else a refusal, or a redirect to the same address without its token."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in query if name == "token"]
        expected, name, port = self.rules.token, _cookie_name(scope), _port(scope)
        is_new = expected is not None and any(_equal(token, expected) for token in tokens)
        if not is_new and expected is not None and not _is_allowed(scope, headers, expected):
            return _closed(headers)
        if not tokens or scope["method"] == "POST":
            return None
        answer = RedirectResponse(_without_token(scope, query), 303, headers={"Cache-Control": "no-store"})
        if is_new and expected is not None:
            value = access_token.cookie(expected, port)
            answer.set_cookie(name, value, max_age=COOKIE_LASTS, httponly=True, samesite="lax", path="/")
        return answer


def _is_allowed(scope: Scope, headers: Headers, token: str) -> bool:
    """Tell whether a request has the token in its header, or the cookie derived from it."""
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    return _equal(bearer, token) or _equal(_cookie(scope, headers), access_token.cookie(token, _port(scope)))


def _equal(text: str, secret: str) -> bool:
    return hmac.compare_digest(text.encode(), secret.encode())


def _closed(headers: Headers) -> Response:
    """Refuse a request without token: for people with a page."""
    why = "the viewer asks for a token: open the address that it printed; for this machine alone, --no-token asks for none"
    if "text/html" in headers.get("accept", ""):
        return HTMLResponse(PAGE.format(why=why), 401, headers={"Cache-Control": "no-store"})
    return _refusal(401, why)


def _without_token(scope: Scope, query: list[tuple[str, str]]) -> str:
    """Return the address without the token, with a single leading slash, since two would name another host."""
    path = "/" + scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0].lstrip("/\\")
    rest = urlencode([(name, value) for name, value in query if name != "token"], safe=",:@/")
    return f"{path}?{rest}" if rest else path


def _port(scope: Scope) -> int:
    return int(scope["server"][1]) if scope.get("server") else 0


def _cookie_name(scope: Scope) -> str:
    return f"{COOKIE}-{_port(scope)}"


def _cookie(scope: Scope, headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(scope))
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _same_origin(headers: Headers) -> bool:
    """Tell whether a request comes from the viewer's own page, or from no page."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    return site in ("same-origin", "none") and (origin is None or origin.partition("://")[2] == headers.get("host"))


def _refusal(status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": why}, status_code=status, headers=headers)
