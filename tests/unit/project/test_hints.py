"""Every remedy that a message, a page or the documentation names exists: options, whole commands, packages to install."""

from __future__ import annotations

import re

import pytest
from support import hints
from support.hints import ROOT

SOURCES = sorted(path for room in ("flows", "atlas", "storage") for path in (ROOT / room).rglob("*.py"))
SCRIPTS = sorted((ROOT / "flows/viewer/web/src").rglob("*.js"))
STYLES = "".join(path.read_text() for path in (ROOT / "flows/viewer/web/src/styles").glob("*.css"))
VARIABLES = set(re.findall(r"--[a-z-]+", STYLES))
PAGES = (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))


def wrong(source: str) -> list[str]:
    """Return the remedies in the texts of a module that would be refused."""
    found: list[str] = []
    for text in hints.messages(source):
        found += [*hints.unknown_options(text), *hints.wrong_commands(text), *hints.unknown_packages(text)]
    return found


def test_remedies_of_messages_exist() -> None:
    found = {str(path.relative_to(ROOT)): wrong(path.read_text()) for path in SOURCES}
    assert {path: problems for path, problems in found.items() if problems} == {}


@pytest.mark.parametrize("name", hints.COMMANDS)
def test_examples_of_help_are_accepted(name: str) -> None:
    assert hints.wrong_commands(hints.COMMANDS[name].help) == []


def test_options_on_the_page_exist() -> None:
    named = {option for path in SCRIPTS for option in hints.OPTION.findall(path.read_text())}
    assert "--no-uploads" in named
    assert named - VARIABLES - hints.EVERY == set()


def commands(page: str) -> list[str]:
    """Return the commands in the blocks of a page, without comments."""
    lines = re.findall(r"^ {4,}(?:\.venv/bin/)?(actlas [^\n#|&\\$]+)", page, re.M)
    return [line.strip() for line in lines if line.count('"') % 2 == line.count("'") % 2 == 0]


def test_commands_of_the_documentation_are_accepted() -> None:
    found = [command for page in PAGES for command in commands(page.read_text())]
    assert len(found) > 30
    assert [f"{command}: {why}" for command in found if (why := hints.problem_of(command)) is not None] == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('f"{x}: give --no-such X"', "--no-such"),
        ('"say `actlas top --all`"', "actlas top --all: No such option"),
        ('f"`actlas runs lst {store}` lists them"', "no such command"),
        ('f"`actlas compare {a} --datasets {where}"', ""),
        ('f"`actlas verify --repair {name} {name}`"', "unexpected extra argument"),
        ('"`actlas cell a b ten 1,1`"', "should be a valid integer"),
        ("\"pip install 'actlas[heic]'\"", "heic"),
    ],
)
def test_mutant_a_remedy_that_is_refused_is_seen(source: str, words: str) -> None:
    assert words in " ".join(wrong(f"raise ValueError({source})"))
    assert bool(wrong(f"raise ValueError({source})")) == bool(words)


def test_a_docstring_is_no_message() -> None:
    assert list(hints.messages('def f():\n    """Say --nothing."""\n')) == []
