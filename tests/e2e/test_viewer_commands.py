"""Every command of every page works where it is pasted: in an empty directory, on the store that it names."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import viewing

from flows import cli
from flows.viewer import serve
from flows.viewer.answers.open_runs import OpenRuns

LAYER = "features.5"
PLACES = (
    *("/", "/api", "/small@1/run", "/small/run", f"/small/atlas/{LAYER}?class=1", f"/small/units/{LAYER}"),
    *(f"/small/unit/{LAYER}:3", f"/small@1/unit/{LAYER}:3?side=range", "/small/image", "/small/image/3"),
    *(f"/small/atlas/{LAYER}?locate=3", f"/compare/small..small/{LAYER}", f"/compare/small@1..small/{LAYER}"),
    "/small@9/run",
)
CHEAPER = {"run": ["--dry-run"], "export": ["--dry-run"], "show": ["--steps", "1"], "compare": ["--no-noise"]}
"""What is added to a command so that it does all but the long computing."""

TEXTS = "() => [...document.querySelectorAll('.command code')].map((code) => code.textContent)"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    """A store whose path a shell would read otherwise, with a version that has everything and one without extras."""
    images, first = viewing.two_versions(tmp_path_factory)
    store = viewing.copied(first, tmp_path_factory.mktemp("my photos' $HOME"))
    with viewing.serving(store, uploads=False) as address:
        yield viewing.Served(address, store, images)


def shown(page: viewing.Page, places: tuple[str, ...]) -> set[str]:
    """Return the commands that the places show, and those that a unit's page copies."""
    found: set[str] = set()
    for place in places:
        page.goto(place)
        page.settle()
        page.script("() => document.querySelectorAll('details').forEach((box) => (box.open = true))")
        page.settle()
        found |= set(page.script(TEXTS))
        copier = page.see("text=copy command")
        if copier.count():
            page.script("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
            copier.click()
            page.until("() => !!window.copied")
            found.add(page.script("() => window.copied"))
    return found


@pytest.fixture
def pasted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served: viewing.Served) -> Any:
    """Paste a command in an empty directory, and return its exit code; the viewer opens its run and ends."""
    weights = tmp_path / "weights.pt"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(serve, "serve", lambda store, name, *_: OpenRuns(store).version(*name.split("@")))

    def paste(command: str) -> int:
        shutil.rmtree(tmp_path / "here", ignore_errors=True)
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        words = shlex.split(command.replace("NEW-WEIGHTS.pt", shlex.quote(str(weights))))
        variables = [word for word in words if "=" in word and words.index(word) < words.index("actlas")]
        assert words[len(variables)] == "actlas"
        arguments = words[len(variables) + 1 :]
        return int(cli.invoke([*arguments, *CHEAPER.get(arguments[0], [])]))

    import torch
    from support import corpus

    torch.save(corpus.net().state_dict(), weights)
    return paste


@pytest.mark.sweep
def test_every_command_works_in_an_empty_directory(page: viewing.Page, pasted: Any, served: viewing.Served) -> None:
    commands = shown(page, PLACES)
    verbs = {shlex.split(command)[shlex.split(command).index("actlas") + 1] for command in commands}
    assert verbs == {"run", "view", "export", "verify", "top", "show", "compare"}
    for command in sorted(commands):
        assert shlex.quote(str(served.store)) in command, command
        assert pasted(command) == 0, command


def test_mutant_a_command_without_its_store_fails(page: viewing.Page, pasted: Any, served: viewing.Served) -> None:
    [command] = [text for text in shown(page, (f"/small/unit/{LAYER}:3",)) if " top " in text]
    assert pasted(command.replace(f"--store {shlex.quote(str(served.store))}", "")) != 0


def test_exported_files_name_no_store_and_their_commands_say_what_stands_for_it(
    chromium: Any, pasted: Any, served: viewing.Served, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    assert cli.invoke(["export", "small", str(folder), "--store", str(served.store)]) == 0
    for file in folder.rglob("*"):
        assert not file.is_file() or str(served.store).encode() not in file.read_bytes(), file
    places = ("#/api", "#/small/run", f"#/small/unit/{LAYER}:3", "#/small/image", "#/small/image/3", "#/other/run")
    with viewing.opened(chromium, f"file://{folder}/index.html") as page:
        commands = shown(page, places)
        assert "STORE stands for" in page.see("main").inner_text()
    assert len(commands) > 8
    for command in sorted(commands - {text for text in commands if " other " in text}):
        assert command.count("--store STORE") == 1
        if " run " not in command:
            assert pasted(command.replace("STORE", shlex.quote(str(served.store)))) == 0, command
