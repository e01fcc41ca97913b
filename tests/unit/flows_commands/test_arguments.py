"""Commands that a message names find the store of the command that failed when they are pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from flows import cli
from flows.commands.shared import arguments as typed
from flows.commands.shared import printing
from storage.errors import ActlasError

MESSAGE = "x is damaged; run `actlas verify --repair`"


@pytest.mark.parametrize(
    ("arguments", "store"),
    [
        (["top", "a", "--store", "here"], "here"),
        (["top", "a", "--store=here"], "here"),
        (["top", "--store", "a", "--store", "my store"], "'my store'"),
        (["run", "--config", "CONFIG"], "of-the-file"),
    ],
)
def test_a_command_gets_the_store(arguments: list[str], store: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('store = "of-the-file"')
    arguments = [argument.replace("CONFIG", str(tmp_path / "run.toml")) for argument in arguments]
    assert typed.with_store(MESSAGE, arguments) == f"x is damaged; run `actlas verify --repair --store {store}`"


@pytest.mark.parametrize("arguments", [[], ["top", "a"], ["run", "--config", "gone.toml"], ["top", "--store"]])
def test_without_one_a_message_stays(arguments: list[str]) -> None:
    assert typed.with_store(MESSAGE, arguments) == MESSAGE


@pytest.mark.parametrize(
    "message",
    [
        "`actlas layers timm:x` lists all",
        "start `actlas serve`, or check it",
        "say `actlas model updated` again",
        "`actlas verify --repair --store there` does it",
        "is it `prefect deployment run x`?",
    ],
)
def test_what_takes_no_store_or_has_one_stays(message: str) -> None:
    assert typed.with_store(message, ["top", "--store", "here"]) == message


@pytest.mark.parametrize(
    ("command", "message", "fitted"),
    [
        (
            "serve",
            "--layers is missing: `actlas layers a:b --weights w` lists all",
            "layers of --config is missing: `actlas layers a:b --weights w` lists all",
        ),
        ("serve", "give --input-size (and --mean)", "give input_size of --config (and mean of --config)"),
        ("serve", "--with gallery: no; --limit 3, --images x", "with of --config gallery: no; --limit 3, --images x"),
        ("run", "--patches-per-image is -1; --layers", "patches_per_image of --config is -1; --layers"),
        ("top", "run it again with --with attribution", "run it again with --with attribution"),
    ],
)
def test_a_setting_that_is_no_option_of_the_command_is_one_of_its_file(command: str, message: str, fitted: str) -> None:
    assert typed.with_settings(message, cli._options([command, "x"])) == fitted


def test_the_command_line_prints_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ActlasError(MESSAGE)

    monkeypatch.setattr(type(cli.app), "__call__", fails)
    cli.invoke(["runs", "list", "--store", "here"])
    assert capsys.readouterr().err == "actlas: x is damaged; run `actlas verify --repair --store here`\n"


def test_a_store_with_a_blank_is_one_word_of_a_suggested_command() -> None:
    assert printing.in_store(printing.DEFAULT_STORE) == ""
    assert shlex.split(printing.in_store("my store")) == ["--store", "my store"]
