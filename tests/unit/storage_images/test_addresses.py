"""Passwords and signatures in addresses are refused wherever an address can enter, and no message repeats them."""

from __future__ import annotations

import itertools
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import cli, config, progress
from flows.cluster import engine as cluster
from flows.notebook import drawing, updates
from flows.stages.shared import label_table
from storage import addresses, errors, masking, models
from storage.images import remote, sources
from storage.models import weights
from storage.run import open_run

SECRET = "hunter2"
CARRIERS = (
    "https://user:hunter2@host/x.tar",
    "https://hunter2@host/x.tar",
    "https://user:pa/hunter2@host/x.tar",
    "https://user:p@hunter2@host/x.tar",
    "https://user:p#hunter2?@host/x.tar",
    "HTTPS://user:hunter2@host",
    "https:/user:hunter2@host/x",
    "//user:hunter2@host/x",
    "s3://key:hunter2@bucket/folder",
    "abfs://container:hunter2@account/x",
    "simplecache::https://user:hunter2@host/x",
    "https://host/x.tar?X-Amz-Signature=hunter2&y=1",
    "https://host/x.tar?y=1&X-Amz-Credential=hunter2",
    "https://host/x.tar?x-goog-signature=hunter2",
    "https://account/x.tar?sv=2024&sig=hunter2%3D",
    "https://host/x.tar?AWSAccessKeyId=hunter2&Expires=1",
    "https://host/x.tar?%73ig=hunter2",
    "https://host/x.tar#access_token=hunter2",
    "https://host/x;token=hunter2",
    "https://host/x?access_key_id=hunter2",
    "https://host/x?authkey=hunter2&a=1",
    "https://host/x?a=1&sign=hunter2",
    "https://host/x?user=me&pw=hunter2",
    "{https://user:hunter2@host/a.tar,b.tar}",
)
PLAIN = (
    "s3://bucket/folder",
    "https://host:8080/x.tar",
    "https://host:8080/photos@1/atlas/L?cell=3,4&class=281",
    "http://127.0.0.1:4200/api",
    "http://[::1]:80/a@b",
    "abfs://container@account.dfs.core.windows.net/x",
    "https://host/x.tar?versionId=3&design=1&compass=2&monkey=3",
    "tcp://127.0.0.1:8786",
    "_blocks.10:37@3,4",
    "/data/a@b//c@d",
    "shards/{000..127}.tar",
    "see http://host:4200, or ask a@b",
)


@pytest.mark.parametrize("text", CARRIERS)
def test_a_secret_is_refused_and_masked(text: str) -> None:
    assert SECRET not in masking.masked(f"cannot read '{text}' there")
    with pytest.raises(errors.UsageError, match=r"^--images has an address") as refused:
        addresses.check("--images", ["x", {"y": text}])
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("text", PLAIN)
def test_an_address_without_a_secret_is_left_as_it_is(text: str) -> None:
    addresses.check("--images", text)
    assert masking.masked(f"cannot read '{text}' there") == f"cannot read '{text}' there"


WORD = st.text("abcXYZ019._~!$*+-%:@", min_size=1, max_size=12)


@given(WORD, WORD.map(lambda word: f"z{word}"))
def test_no_user_and_password_stay(user: str, password: str) -> None:
    """Whatever the characters: the password begins with a letter that is nowhere else."""
    assert "z" not in masking.masked(f"https://{user.replace('z', '')}:{password}@host/x")
    assert masking.masked(masking.masked(f"s3://{user}:{password}@host/x")) == "s3://***@host/x"


def open_run_there(text: str) -> None:
    open_run(text, "x")


ENTRIES: dict[str, Callable[[str], Any]] = {
    **{
        f"setting {name}": lambda text, name=name: config.make({"images": "x"} | {name: text})  # type: ignore[misc]
        for name in ("images", "labels", "weights", "store", "classes", "model", "name")
    },
    "setting layers": lambda text: config.make({"images": "x", "layers": [text]}),
    "setting axes": lambda text: config.make({"images": "x", "axes": {"a": text}}),
    "open_source": sources.open_source,
    "open_run": open_run_there,
    "dask": cluster.processes_of,
    "image of a notebook": lambda text: drawing.saliency(text),
    "model of a notebook": lambda text: drawing.show("x", model=text),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_it_is_refused_wherever_it_enters(entry: str) -> None:
    for text in CARRIERS:
        with pytest.raises(errors.UsageError, match="has an address with a password or a signature") as refused:
            ENTRIES[entry](text)
        assert SECRET not in str(refused.value)


def test_a_configuration_shows_no_value_of_a_wrong_setting() -> None:
    """Pydantic's own message does by default: Prefect, and whoever makes a configuration in Python, would print it."""
    for settings in ({"images": CARRIERS[0]}, {"images": "x", "recipe": CARRIERS[0]}, {"images": {"a": CARRIERS[0]}}):
        with pytest.raises((errors.UsageError, ValueError)) as refused:
            config.RunConfig(**settings)
        assert SECRET not in str(refused.value)


COMMANDS = (
    ["run", "--images", "{}"],
    ["run", "--images={}"],
    ["run", "--images", "x", "--dask", "{}"],
    ["run", "--config", "{}"],
    ["layers", "{}"],
    ["layers", "base:net", "--weights", "{}"],
    ["runs", "list", "--store", "{}"],
    ["saliency", "{}"],
    ["locate", "photos", "layer", "{}"],
    ["view", "--host", "{}"],
    ["model", "updated", "photos", "--weights", "{}"],
    ["{}"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_refuses_it_in_one_line(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for text in (CARRIERS[0], CARRIERS[11]):
        assert cli.invoke([part.replace("{}", text) for part in command]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert SECRET not in err


def test_so_do_variables_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.toml").write_text(f'images = "{CARRIERS[0]}"\n')
    assert cli.invoke(["run", "--config", str(tmp_path / "run.toml")]) == 2
    monkeypatch.setenv("ACTLAS_STORE", CARRIERS[11])
    assert cli.invoke(["runs", "list"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" has ")[0] for line in lines] == ["actlas: --images", "actlas: ACTLAS_STORE"]
    assert SECRET not in "".join(lines)


def test_a_question_in_sql_is_no_address(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    query = "select * from images where key like 'https://x/%?token=%'"
    assert cli.invoke(["sql", "photos", query, "--store", str(tmp_path / "none")]) == 4
    assert "no store" in capsys.readouterr().err


def test_progress_and_errors_of_a_server_show_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may send a client on to a signed address, which the client's error then names."""
    progress.Reporter().say(f"reading {CARRIERS[0]}")
    assert capsys.readouterr().err == "reading https://***@host/x.tar\n"
    name = f"memory://signed-{next(itertools.count())}"
    fsspec.filesystem("memory").pipe({f"{name}/a.png": b"1"})
    for kind in (OSError, RuntimeError):

        def lose(*_: object, kind: type[Exception] = kind, **__: object) -> bytes:
            raise kind(f"403, url={CARRIERS[11]}")

        monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", lose)
        answer = remote._content(f"{name}/a.png", 1, 1)
        assert isinstance(answer, errors.Unreadable)
        assert re.search(r"403, url=\S+Signature=\*\*\*", str(answer))
        assert SECRET not in str(answer)


def test_mutant_a_message_that_repeats_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "has_secret", lambda _: False)
    monkeypatch.setattr(errors, "masked", lambda text: text)
    with pytest.raises(errors.NotFound) as refused:
        sources.open_source("//user:hunter2@host/x")
    assert SECRET in str(refused.value)


ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.ActlasError) and kind.__init__ is errors.ActlasError.__init__
]


@pytest.mark.parametrize("text", CARRIERS)
def test_no_error_repeats_it_whoever_raises_it(text: str) -> None:
    for kind in ERRORS:
        error = pickle.loads(pickle.dumps(kind(f"{text}: no such file")))
        assert SECRET not in str(error) + repr(error)
        assert "no such file" in str(error)


CALLS: dict[str, Callable[[str], object]] = {
    "weights.read": weights.read,
    "a model": lambda text: models.load(text),
    "class names": lambda text: models.load("support.odd_models:plain", classes=text),
    "images": sources.open_source,
    "a store": lambda text: open_run(text, "r"),
    "a run": lambda text: open_run("nowhere", text),
    "labels": lambda text: label_table.read(text),
    "an update": lambda text: updates.announce("r", text, store=text),
    "full": lambda text: _raise(errors.NoSpace(text, 2, 1)),
    "unreadable": lambda text: _raise(errors.CannotTell(text, 5, "I/O error")),
}
"""Functions that Python can call with an address, none of which goes through the command line."""


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("call", CALLS)
def test_nothing_called_from_python_repeats_it(call: str) -> None:
    for text in CARRIERS:
        with pytest.raises(errors.ActlasError) as refused:
            CALLS[call](text)
        assert SECRET not in str(refused.value)


def test_mutant_an_error_that_masks_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "masked", lambda text: text)
    with pytest.raises(errors.BadWeights, match=SECRET):
        weights.read(CARRIERS[0])
