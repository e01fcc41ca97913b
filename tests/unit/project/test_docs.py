"""The docs stay true: every command, option, stage and word is written down, and what the README names exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support import hints

from flows import glossary, registry
from flows.config import RunConfig
from flows.viewer import build
from storage.images.decode import REASONS

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
WORDS = (
    "image",
    "layer",
    "activation",
    "unit",
    "position",
    "receptive field",
    "sample",
    "patch",
    "layout",
    "cell",
    "icon",
    "tile",
    "shard",
    "stage",
    "run",
)


def undocumented(text: str) -> list[str]:
    """Return the commands without a section, and the options that their section does not name."""
    sections = {
        m[1]: m[2]
        for m in re.finditer(r"^## `actlas ([^`]+?)(?: [A-Z\[<][^`\n]*)?`\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    }
    missing = []
    for name, command in hints.COMMANDS.items():
        section = sections.get(name)
        if section is None:
            missing.append(f"## `actlas {name}`")
            continue
        for parameter in command.params:
            options = [o for o in parameter.opts if o.startswith("--")]
            missing += [f"{name} {o}" for o in options if o not in ("--help",) and f"`{o}" not in section]
    return missing


def test_every_command_and_option_is_documented() -> None:
    assert undocumented(COMMANDS) == []


@pytest.mark.parametrize("name", hints.COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    assert hints.COMMANDS[name].help, name
    assert all(
        getattr(parameter, "help", None)
        for parameter in hints.COMMANDS[name].params
        if parameter.opts[0].startswith("-")
    )


def test_every_setting_has_an_option_or_is_of_the_file_only() -> None:
    options = {o.removeprefix("--").replace("-", "_") for p in hints.COMMANDS["run"].params for o in p.opts}
    only_in_file = {"patches_per_image", "icon_tries", "attribution_per_cell"}
    settings = {field.alias or name for name, field in RunConfig.model_fields.items()}
    assert settings - options == only_in_file
    assert all(f"`{name}`" in COMMANDS for name in only_in_file)


def test_words_stages_and_reasons_are_explained() -> None:
    assert {row.word for row in glossary.WORDS} >= set(WORDS)
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    assert all(stage in architecture for stage in registry.codes())
    policy = (ROOT / "docs" / "images.md").read_text()
    assert all(f"`{reason}`" in policy for reason in REASONS)


def table_of_words(text: str) -> list[tuple[str, str]]:
    """Return the rows of the README's table of words."""
    return re.findall(r"^\| \*\*([^|*]+)\*\* \| ([^|]+) \|$", text, re.M)


def test_the_readme_and_the_page_have_the_words_of_the_glossary(tmp_path: Path) -> None:
    build.write_data(tmp_path / "generated")
    page = json.loads((tmp_path / "generated" / "glossary.json").read_text())
    assert table_of_words(README) == [(row.word, row.text) for row in glossary.WORDS]
    assert page == [row._asdict() for row in glossary.WORDS]


def test_mutant_a_meaning_changed_in_the_readme_alone() -> None:
    words = [(row.word, row.text) for row in glossary.WORDS]
    assert table_of_words(README.replace("1 = all alike", "0 = all alike")) != words
    assert table_of_words(README.replace("| **flat** |", "| flat |")) != words


def test_links_of_the_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


PAGES = (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))


def stray(text: str) -> list[str]:
    """Return the lines of prose that belong to a script: in a page by mistake."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines = [line for line in prose.splitlines() if not line.startswith("    ")]
    return [line for line in lines if '"""' in line or "<<'" in line or re.match(r"(?:sed|cat|echo) ", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_hold_no_line_of_a_script(page: Path) -> None:
    assert stray(page.read_text()) == []


def test_mutant_a_line_of_a_script_is_seen() -> None:
    assert stray('Models.\n"""E\nsed -i \'$d\' x\n    cat x\n```\necho 1\n```\n') == ['"""E', "sed -i '$d' x"]


def test_commands_in_the_readme_exist() -> None:
    used = set(re.findall(r"^\s+(?:\.venv/bin/)?actlas (runs \w+|\w+)", README, re.M))
    assert used
    assert used <= set(hints.COMMANDS), used - set(hints.COMMANDS)


def test_mutant_a_forgotten_option_is_seen() -> None:
    assert "top --sheet" in undocumented(COMMANDS.replace("`--sheet", "sheet"))
