"""Prefect's clients without a proxy where the server is on this machine: proxies are for what users download.

httpx reads the environment in each client, and refuses all requests where it does not understand one of the proxies, even
one that the request would not take. Prefect makes its clients itself, in many places, and hands no settings on to them.
"""

from __future__ import annotations

import functools
import os
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect._internal import websockets
from prefect.client import base
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED, temporary_settings

from storage import addresses, masking
from storage.errors import UsageError


@contextmanager
def to(address: str) -> Iterator[str]:
    """Direct Prefect's clients to the server at an address, past all proxies if it is on this machine; yield the address.

    Raises UsageError, which repeats neither, for a password in the address, and for a proxy in the environment that the
    clients of another server refuse.
    """
    make_direct()
    if masking.has_secret(address):
        raise UsageError(
            "PREFECT_API_URL has a password in it, which pages and logs would show: set PREFECT_API_AUTH_STRING instead"
        )
    settings: dict[Any, Any] = {PREFECT_API_URL: address}
    if addresses.leads_here(address):
        settings[PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED] = False  # by a client of its own, which takes the proxy
    else:
        check_proxies()
    with temporary_settings(settings):
        yield address


@functools.cache
def make_direct() -> None:
    """Have Prefect's clients in this process ignore the environment's proxies for addresses on this machine."""
    for client in (base.PrefectHttpxSyncClient, base.PrefectHttpxAsyncClient):
        setattr(client, "__init__", _direct_client(client.__init__))  # noqa: B010, which is a method to mypy
    setattr(websockets, "connect", _direct_connect(getattr(websockets, "connect")))  # noqa: B009, B010, not exported


def is_well(address: str, timeout: float) -> bool:
    """Tell whether a Prefect server answers at an address."""
    try:
        answer = httpx.get(f"{address}/health", timeout=timeout, trust_env=not addresses.leads_here(address))
    except httpx.HTTPError:
        return False
    return answer.is_success


def check_proxies() -> None:
    """Raise UsageError, which names the variable and does not repeat its value, for a proxy that httpx cannot use."""
    proxies = urllib.request.getproxies()
    if "*" in proxies.get("no", "").split(","):
        return
    for scheme in ("http", "https", "all"):
        if (proxy := proxies.get(scheme)) and (reason := _refusal(proxy)):
            raise UsageError(
                f"{_variable(scheme, proxy)} has a proxy that Prefect's client cannot use: {reason}; write http://HOST:PORT, or "
                "use `actlas run --engine inline`, which needs no server"
            )
    if _refusal():
        raise UsageError(
            f"{_variable('no', proxies.get('no', ''))} is not understood by Prefect's client; write names of hosts and IP "
            "addresses without brackets, with commas between"
        )


def _variable(scheme: str, value: str) -> str:
    """Return the environment variable that has this value for a scheme."""
    names = [name for name in os.environ if name.lower() == f"{scheme}_proxy" and os.environ[name] == value]
    return names[0] if names else f"{scheme}_proxy".upper()


def _refusal(proxy: str | None = None) -> str:
    """Return why httpx does not take a proxy, by default those of the environment; an empty text if it takes them."""
    address = proxy and (proxy if "://" in proxy else f"http://{proxy}")
    try:
        httpx.Client(verify=False, trust_env=not address, proxy=address).close()  # noqa: S501, sends nothing
        named = not address or httpx.URL(address).host
    except ImportError:
        return "SOCKS needs other packages, pip install 'httpx[socks]' python-socks"
    except Exception:  # ValueError, InvalidURL, whatever a text makes httpx raise; its message repeats the text
        named = ""
    return "" if named else "it is no address that starts with http://, https:// or socks5://"


def _direct_client(make: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(make)
    def direct(self: object, *arguments: Any, **settings: Any) -> None:
        if addresses.leads_here(str(settings.get("base_url", ""))):
            settings["trust_env"] = False
        make(self, *arguments, **settings)

    return direct


def _direct_connect(connect: Callable[..., Any]) -> Callable[..., Any]:
    def direct(uri: str, **settings: Any) -> Any:
        return connect(uri, **({"proxy": None} if addresses.leads_here(uri) else {}), **settings)

    return direct
