"""Read the built page: the wheel holds its files beside this module; `make setup` builds them in a checkout."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from storage.errors import Incomplete

BUILT = Path(__file__).parent / "built"
KINDS = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
HOW = "the page of the viewer is not built: run `make setup` (or `make page`)"


@dataclass(frozen=True, slots=True)
class Assets:
    """The files of the page by name, held in memory; and the places of a run, with what their addresses name after them."""

    files: dict[str, bytes]
    scripts: tuple[str, ...]
    styles: tuple[str, ...]
    places: Mapping[str, str]

    def kind(self, name: str) -> str:
        """Return the media type of a file."""
        return KINDS.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"

    def page(self, base: str = "/assets/", data: tuple[str, ...] = (), policy: str = "") -> str:
        """Return the page's HTML; the scripts `data` come before its own.

        `policy` is the content security policy, for pages that no server sends.
        """
        styles = "".join(f'<link rel="stylesheet" href="{base}{name}">' for name in self.styles)
        scripts = "".join(f'<script defer src="{name}"></script>' for name in data)
        scripts += "".join(f'<script defer src="{base}{name}"></script>' for name in self.scripts)
        rules = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n' if policy else ""
        return PAGE.format(rules=rules, styles=styles, scripts=scripts, icon=f"{base}icon.svg")


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{rules}<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>actlas</title>
<link rel="icon" href="{icon}" type="image/svg+xml">
{styles}{scripts}
</head>
<body>
<noscript>This page draws itself by script; without it there is nothing to see. The same data: actlas --help.</noscript>
</body>
</html>
"""


def load(folder: Path = BUILT) -> Assets:
    """Read the built page. Raises Incomplete, with the command that builds it, where it is missing or outdated."""
    try:
        listed = json.loads((folder / "files.json").read_text())
        files = {name: (folder / name).read_bytes() for name in listed["files"]}
        return Assets(files, tuple(listed["scripts"]), tuple(listed["styles"]), listed["places"])
    except (FileNotFoundError, KeyError):  # there is none, or one of an earlier commit
        raise Incomplete(HOW) from None
