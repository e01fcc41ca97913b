"""Texts read as plain English, and values are called by nouns: over documents, docstrings, help and the page."""

from __future__ import annotations

import pytest
import typer
from support import house, words
from support.house import ROOT

from flows.cli import app

SOURCES = {name: path.read_text() for name, path in house.modules().items()}
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SCRIPTS = sorted((ROOT / "flows" / "viewer" / "web" / "src").rglob("*.js"))


def in_docstrings() -> list[str]:
    texts = [(name, *part) for name, source in SOURCES.items() for part in words.docstrings(source)]
    return [f"{name}:{line}: {phrase}" for name, line, text in texts for phrase in words.phrases(text)]


def in_documents() -> list[str]:
    texts = [(path.relative_to(ROOT).as_posix(), path.read_text()) for path in DOCUMENTS]
    return [f"{name}: {phrase}" for name, text in texts for phrase in words.phrases(text)]


def in_help() -> list[str]:
    return [f"{name}: {p}" for name, text in words.helps(typer.main.get_command(app)) for p in words.phrases(text)]


def in_page() -> list[str]:
    texts = [(path.name, *part) for path in SCRIPTS for part in words.javascript(path.read_text())]
    return [f"{name}:{line}: {phrase}" for name, line, text in texts for phrase in words.phrases(text)]


def by_participle() -> list[str]:
    dicts = words.typed_dicts(SOURCES.values())
    return [f"{module}:{line}: {name}" for module, text in SOURCES.items() for line, name in words.names(text, dicts)]


def test_docstrings_are_plain() -> None:
    assert in_docstrings() == []


def test_documents_are_plain() -> None:
    assert len(DOCUMENTS) > 15
    assert in_documents() == []


def test_help_is_plain() -> None:
    assert in_help() == []


def test_the_page_is_plain() -> None:
    assert len(SCRIPTS) > 40
    assert in_page() == []


def test_values_are_called_by_nouns() -> None:
    assert by_participle() == []


@pytest.mark.parametrize("phrase", words.PHRASES)
def test_mutant_a_phrase_is_seen(phrase: str) -> None:
    broken = phrase.replace(" ", "\n    ").capitalize()
    assert words.phrases(f"It is plain. {broken}, and so on.") == [phrase]
    assert words.phrases(f"x{phrase.replace(' ', '-')}") == []


def test_mutant_what_only_looks_like_a_phrase_is_plain() -> None:
    assert words.phrases("A task that Dask has given up on; a request is given\nup.") == ["given up"]
    assert words.phrases("A model of one’s own.") == ["of one's own"]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('"""Made anew."""', 1),
        ('class A:\n    """Made anew."""', 2),
        ('class A:\n    def f(self):\n        """Made anew."""', 3),
        ('X = 1\n"""Made anew."""', 2),
        ('async def f():\n    """Made\n    anew."""', 2),
    ],
)
def test_mutant_a_docstring_is_read(source: str, line: int) -> None:
    assert [(at, words.phrases(text)) for at, text in words.docstrings(source)] == [(line, ["anew"])]
    assert list(words.docstrings("x = 'anew'  # anew")) == []


@pytest.mark.parametrize("quote", ["'", '"', "`"])
def test_mutant_a_string_of_the_page_is_read(quote: str) -> None:
    source = f"// it's anew\n/* a \"b\n*/ h('p', {quote}made \\{quote} anew{quote});"
    texts = [(line, phrase) for line, text in words.javascript(source) for phrase in words.phrases(text)]
    assert texts == [(3, "anew")]


def test_mutant_help_is_read() -> None:
    def again(name: str = typer.Option("", help="Made anew.")) -> None:
        """Nobody waits."""

    below, whole = typer.Typer(), typer.Typer()
    below.command("again")(again)
    below.callback()(lambda: None)
    whole.add_typer(below, name="runs")
    whole.callback()(lambda: None)
    found = [(name, p) for name, text in words.helps(typer.main.get_command(whole)) for p in words.phrases(text)]
    assert found == [("runs again", "nobody"), ("runs again name", "anew")]


@pytest.mark.parametrize(
    "source",
    [
        "{} = 1",
        "a, *{} = b",
        "{}: int = 1",
        "for {} in a: pass",
        "[{} for {} in a]",
        "with a as {}: pass",
        "if ({} := a): pass",
        "self.{} = 1",
        "self.{} += 1",
        "def {}(): pass",
        "async def {}(): pass",
        "class {}: pass",
        "class A:\n    {}: int",
        "def f({}): pass",
        "def f(*, {}=1): pass",
        "def f(**{}): pass",
        "lambda {}: 1",
        "import a as {}",
        "from a import {}",
        "try: pass\nexcept A as {}: pass",
        "match a:\n    case [*{}]: pass",
        "match a:\n    case A() as {}: pass",
    ],
)
@pytest.mark.parametrize("name", [*sorted(words.NAMES), "_told"])
def test_mutant_a_participle_as_a_name_is_seen(source: str, name: str) -> None:
    assert {seen for _, seen in words.names(source.replace("{}", name))} == {name}
    assert words.names(source.replace("{}", "rows")) == []


def test_keys_and_the_names_of_others_are_exempt() -> None:
    source = 'class Answer(TypedDict):\n    found: int\nclass More(Answer):\n    seen: int\na["told"] = b.made(asked=1)'
    dicts = words.typed_dicts([source])
    assert dicts == {"Answer", "More"}
    assert words.names(source, dicts) == []
    assert words.names(source) == [(2, "found"), (4, "seen")]
