"""The documentation site builds without a warning, and no page of it asks another host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

if os.environ.get("ACTLAS_DOCS") != "required":
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'actlas[docs]'")

ROOT = Path(__file__).parents[3]
LOADS = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"), ("object", "data")}
LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
FOREIGN = re.compile(r"\s*(?:[a-z][a-z+.-]*:)?//", re.I)


def build(docs: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a copy of the documents, strictly."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(docs / "mkdocs.yml"), "-d", str(site)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


class Loads(HTMLParser):
    """Collects what a page loads by itself: scripts, styles, pictures, frames; links to follow are none of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)
        self.found += styles(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.found += [value for name, value in given.items() if (tag, name) in LOADS]
        self.found += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        if tag == "link" and LINKS & set(given.get("rel", "").split()):
            self.found.append(given.get("href", ""))


def styles(text: str) -> list[str]:
    """Return what style sheets load."""
    return re.findall(r"url\(\s*[\"']?([^\"')]+)", text) + re.findall(r"@import\s+[\"']([^\"']+)", text)


def foreign(site: Path) -> dict[str, list[str]]:
    """Return what pages and style sheets load from other hosts."""
    found = {path: Loads(path.read_text()).found for path in site.rglob("*.html")}
    found |= {path: styles(path.read_text()) for path in site.rglob("*.css")}
    wrong = {str(path.relative_to(site)): [u for u in loads if FOREIGN.match(u)] for path, loads in found.items()}
    return {path: loads for path, loads in wrong.items() if loads}


def test_every_document_is_a_page(site: Path) -> None:
    documents = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    pages = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert documents <= pages
    assert len(documents) > 15


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    assert foreign(site) == {}


def test_mutant_a_foreign_font_is_seen(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text('<link rel="stylesheet" href="https://fonts.example/css"><a href="//b">b</a>')
    (tmp_path / "style.css").write_text("@font-face { src: url(//fonts.example/a.woff2) } b { background: url(a.png) }")
    assert foreign(tmp_path) == {"page.html": ["https://fonts.example/css"], "style.css": ["//fonts.example/a.woff2"]}


@pytest.mark.parametrize(("link", "builds"), [("other.md", True), ("gone.md", False), ("other.md#gone", False)])
def test_mutant_a_broken_link_stops_the_build(tmp_path: Path, link: str, builds: bool) -> None:
    (tmp_path / "docs").mkdir()
    settings = (ROOT / "mkdocs.yml").read_text()
    (tmp_path / "mkdocs.yml").write_text(
        settings[: settings.index("\nnav:")].replace("  - site.css\n", "  - none.css\n")
    )
    (tmp_path / "docs" / "index.md").write_text(f"[link]({link})\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n")
    done = build(tmp_path, tmp_path / "site")
    assert (done.returncode == 0) == builds, done.stderr
    assert builds or link in done.stderr
