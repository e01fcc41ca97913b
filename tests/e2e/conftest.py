"""One Prefect server for the whole session, started by the first test that asks and stopped at the end; and the viewer's page."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest
from support import forks, viewing
from support.prefect_server import QUICK, Server, running

from flows.viewer.model import worker


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server, which this process's Prefect client talks to."""
    with running(tmp_path_factory.mktemp("prefect")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in (QUICK | {"PREFECT_API_URL": server.address, "PREFECT_HOME": str(server.home)}).items():
            patch.setenv(name, value)  # threads read their settings from the environment
        from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

        import flows.scheduling.prefect_flow  # noqa: F401 -- sets what Prefect reads when it is first imported

        with temporary_settings({PREFECT_API_URL: server.address, PREFECT_HOME: server.home}):
            yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[tuple[Any, Any]]:
    """The one browser of the session, and the event loop that its calls run."""
    with viewing.browser() as running:
        loop = asyncio.get_running_loop()  # playwright leaves it marked as running
        asyncio._set_running_loop(None)
        yield running, loop
        asyncio._set_running_loop(loop)


@pytest.fixture(scope="module")
def chromium(browser: tuple[Any, Any]) -> Iterator[Any]:
    """That browser. Its loop is marked as running for these tests alone, since no other could run meanwhile."""
    running, loop = browser
    asyncio._set_running_loop(loop)
    yield running
    asyncio._set_running_loop(None)


@pytest.fixture(scope="session", autouse=True)
def _forked_workers() -> Iterator[None]:
    """Fork processes with a model; `spawned` undoes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "START", forks.context())
        yield


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes with a model as the viewer does, each for itself: with its output, and its own imports."""
    monkeypatch.setattr(worker, "START", multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    """The small run with everything in it, unless a module serves another."""
    images, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store) as address:
        yield viewing.Served(address, store, images)


@pytest.fixture(scope="module")
def kept(chromium: Any, served: viewing.Served) -> Iterator[viewing.Kept]:
    """The page that the tests of a module have one after the other."""
    kept = viewing.Kept(chromium, served.address)
    yield kept
    kept.close()


@pytest.fixture
def page(kept: viewing.Kept) -> Iterator[viewing.Page]:
    """A page of what the module serves, which must not complain, and ask nobody else for anything."""
    opened = kept.page()
    yield opened
    spoilt, opened.spoilt = opened.spoilt, True
    assert opened.complaints() == []
    assert opened.foreign() == []
    opened.spoilt = spoilt
