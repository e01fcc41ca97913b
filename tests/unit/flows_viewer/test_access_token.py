"""The viewer's lasting token: who may read it, what it opens, and where it must not stay."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import webbrowser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from flows.viewer import access_token, security, serve
from storage.errors import UsageError

HERE = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "actlas"


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope["query_string"].decode())(scope, receive, send)


def client(**options: Any) -> TestClient:
    """Return a client of a page behind the rules of these options."""
    rules = serve.rules_of(serve.Options(**options))
    return TestClient(security.SecurityMiddleware(page, rules, ("/locate",)), HERE, follow_redirects=False)


def test_the_token_is_made_once_and_only_its_user_can_read_it(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: access_token.lasting(), range(16)))
    assert len(tokens) == 1
    assert len(tokens.pop()) >= 40
    assert [path.name for path in home.iterdir()] == ["viewer-token"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (home, home / "viewer-token")] == [0o700, 0o600]


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644])
def test_a_token_that_others_can_read_is_refused(home: Path, mode: int) -> None:
    access_token.lasting()
    (home / "viewer-token").chmod(mode)
    with pytest.raises(UsageError, match=rf"viewer-token can be read by other users \(mode {mode:04o}\)"):
        access_token.lasting()


def test_a_token_that_another_user_has_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root one reads any file, also one that another user has put there."""
    access_token.lasting()
    mine = os.geteuid()
    monkeypatch.setattr(access_token.os, "geteuid", lambda: mine + 1)
    with pytest.raises(UsageError, match="viewer-token belongs to another user, who may know the token"):
        access_token.lasting()


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "shorter than 8"), ("a1b2", "shorter than 8"), ("ünï" * 4, "ASCII"), ("a\nb" * 5, "ASCII")],
)
def test_a_file_without_a_token_is_named(home: Path, content: str, words: str) -> None:
    home.mkdir(parents=True)
    access_token.write_private(home / "viewer-token", content, replace=False)
    with pytest.raises(UsageError, match=f"viewer-token .*{words}.*remove the file") as refused:
        access_token.lasting()
    assert not content or content not in str(refused.value)


def test_a_folder_that_takes_no_file_is_named(home: Path) -> None:
    home.parent.mkdir()
    home.write_text("a file")
    with pytest.raises(UsageError, match=f"cannot be kept in {home}.*ACTLAS_TOKEN.*--no-token"):
        access_token.lasting()


def test_it_is_asked_for_on_this_machine_too() -> None:
    assert serve.rules_of(serve.Options()).token == access_token.lasting()
    assert serve.rules_of(serve.Options(host="localhost")).token == access_token.lasting()
    assert serve.rules_of(serve.Options(host="0.0.0.0")).token == access_token.lasting()
    assert serve.rules_of(serve.Options(asks_token=False)).token is None
    closed = client().get("/small")
    assert (closed.status_code, "--no-token" in closed.json()["error"]) == (401, True)
    assert client(asks_token=False).get("/small").status_code == 200


def test_no_token_is_for_this_machine_alone_and_for_no_token() -> None:
    with pytest.raises(UsageError, match=r"--no-token with --host 0\.0\.0\.0"):
        serve.rules_of(serve.Options(host="0.0.0.0", asks_token=False))
    with pytest.raises(UsageError, match="excludes a token"):
        serve.rules_of(serve.Options(asks_token=False, token="open sesame"))


def test_a_token_from_a_file_as_a_container_gives_it(tmp_path: Path) -> None:
    """Its mode is that of the mount, and no affair of the viewer's."""
    (tmp_path / "secret").write_text("open sesame\n")
    (tmp_path / "secret").chmod(0o444)
    assert serve.rules_of(serve.Options(token_file=str(tmp_path / "secret"))).token == "open sesame"
    with pytest.raises(UsageError, match="nowhere cannot be read: No such file"):
        serve.rules_of(serve.Options(token_file=str(tmp_path / "nowhere")))


def test_the_cookie_opens_and_does_not_tell_the_token() -> None:
    token = access_token.lasting()
    opened = client().get(f"/small/atlas/a%20b?grid=4&token={token}&cell=1,2")
    assert (opened.status_code, opened.headers["location"]) == (303, "/small/atlas/a%20b?grid=4&cell=1,2")
    assert opened.headers["cache-control"] == "no-store"
    cookie = opened.headers["set-cookie"]
    assert token not in cookie
    assert {"HttpOnly", "Max-Age=31536000", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    name, _, value = cookie.partition(";")[0].partition("=")
    for guess in (value, value[:-1], "", token):
        again = client()
        again.cookies.set(name, guess)
        assert (again.get("/small").status_code == 200) is (guess == value)


def test_a_bookmark_outlives_a_restart() -> None:
    """The server knows nothing of the one before; the file of the token is what lasts."""
    first, token = client(), access_token.lasting()
    first.get(f"/small?token={token}")
    second = client()
    second.cookies = first.cookies
    assert second.get("/small/run").status_code == 200
    assert client().get(f"/small/run?token={token}").status_code == 303


def test_the_cookie_of_one_port_opens_no_other() -> None:
    token = access_token.lasting()
    assert access_token.cookie(token, 8000) != access_token.cookie(token, 8001)
    assert access_token.cookie(token, 8000) != access_token.cookie(token + "x", 8000)


@pytest.mark.parametrize("options", [{}, {"asks_token": False}], ids=["asked", "not asked"])
@pytest.mark.parametrize("token", ["old", "{}"])
def test_no_token_stays_in_an_address(options: dict[str, Any], token: str) -> None:
    """Not in one that is copied, either: an old one, or one that is not asked for."""
    lasting, reader = access_token.lasting(), client(**options)
    reader.get(f"/?token={lasting}")
    answer = reader.get(f"/small?token={token.replace('{}', lasting)}&grid=4&token=another")
    assert (answer.status_code, answer.headers["location"]) == (303, "/small?grid=4")


def test_programs_send_it_in_a_header() -> None:
    bearer = {"Authorization": f"Bearer {access_token.lasting()}"}
    assert client().get("/api/1/runs", headers=bearer).status_code == 200
    assert client().post("/api/1/runs/a/current/locate", headers=bearer).status_code == 200
    assert client().post("/api/1/runs/a/current/locate").status_code == 401
    assert client().get("/api/1/runs", headers={"Authorization": "Bearer "}).status_code == 401


def test_the_browser_gets_it_by_a_file_and_not_by_its_command_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", opened.append)
    url = serve.address("127.0.0.1", 8000, "small", access_token.lasting())
    serve.open_browser(url)
    assert access_token.lasting() not in opened[0]
    place = Path(opened[0].removeprefix("file://"))
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert re.search(r"url=([^\"]+)", place.read_text())[1] == url  # type: ignore[index]
    serve.open_browser("http://127.0.0.1:8000/small")
    assert opened[1:] == ["http://127.0.0.1:8000/small"]


@contextlib.contextmanager
def broken(monkeypatch: pytest.MonkeyPatch, name: str, instead: Any) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(access_token, name, instead)
        yield


def test_mutant_a_cookie_that_is_the_token_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with broken(monkeypatch, "cookie", lambda token, port: token), pytest.raises(AssertionError):
        test_the_cookie_opens_and_does_not_tell_the_token()


def test_mutant_a_token_of_each_start_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter("abcdefgh" * 4)
    with broken(monkeypatch, "lasting", lambda: next(tokens) * 20), pytest.raises(AssertionError):
        test_a_bookmark_outlives_a_restart()
