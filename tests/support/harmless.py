"""Change the code of an installed model without changing what it does, and see whether its fingerprints move."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import skimage

from flows.model import fingerprints, prepared
from storage import models

PACKAGE = "efficientnet_lite_pytorch"
PHOTO = Path(skimage.__file__).parent / "data" / "coffee.png"
LAYERS = ("_blocks.4", "_blocks.10", "_conv_head", "")

Edit = Callable[[str], str]

KINDS: dict[str, Edit] = {
    "reinstalled": lambda text: text,
    "a comment": lambda text: re.sub(r"^(\s*)(x = .*)$", r"\1# the next step\n\1\2", text, flags=re.M),
    "formatting": lambda text: ast.unparse(ast.parse(text)),
    "docstrings": lambda text: text.replace('"""', '"""Note. ', 1),
    "blank lines": lambda text: text.replace("\n\n", "\n\n\n"),
    "a renamed variable": lambda text: re.sub(r"\bbs\b", "batch", text),
    "a renamed file": lambda text: text.replace("from .utils import", "from .helpers import"),
    "another function": lambda text: f"{text}\n\ndef unused(x):\n    return x + 1\n",
    "an import": lambda text: f"import math\n{text}",
    "another file": lambda text: text,
}


def recomputed(folder: Path, count: int, kinds: Mapping[str, Edit] = KINDS) -> list[str]:
    """Return the changes, of a number over all kinds, after which a layer would be computed again."""
    before = _prints()
    names = [f"{kind} {number}" for number in range(count) for kind in [list(kinds)[number % len(kinds)]]]
    return [name for number, name in enumerate(names) if _changed(folder, name, number, kinds) != before]


def _changed(folder: Path, name: str, number: int, kinds: Mapping[str, Edit]) -> dict[str, str]:
    """Return the fingerprints of the package with one more change, in a place of its own."""
    kind = name.rpartition(" ")[0]
    place = folder / ("deeper/" * (number % 3)) / str(number)
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, place / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (place / PACKAGE).glob("*.py"):
        file.write_text(kinds[kind](file.read_text()))
    if kind == "a renamed file":
        (place / PACKAGE / "utils.py").rename(place / PACKAGE / "helpers.py")
    if kind == "another file":
        (place / PACKAGE / "more.py").write_text(f"NUMBER = {number}\n")
    sys.path.insert(0, str(place))
    try:
        return _prints(place)
    finally:
        sys.path.remove(str(place))
        _forget()


def _prints(place: Path | None = None) -> dict[str, str]:
    _forget()
    model = models.load("efficientnet-lite0", weights="random", input_size=64)
    if place is not None:
        assert str(sys.modules[PACKAGE].__file__).startswith(str(place))
    return fingerprints.of_model(model, prepared.example(model), LAYERS).prints


def _forget() -> None:
    """Forget the package and what came out of it, as another process would."""
    fingerprints._known.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
