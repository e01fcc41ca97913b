"""How the code is laid out: files per folder, circles of imports, and how long files and functions are.

    python benchmarks/house.py [FOLDER]

Reads the files of a checkout (this one by default) and imports none of them, so it works on any commit. An import counts
wherever it stands: within a function or under TYPE_CHECKING, too.
"""

from __future__ import annotations

import argparse
import ast
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

PACKAGES = ("atlas", "flows", "storage")
KINDS = (".py", ".js", ".css")
NOT_OURS = {"node_modules", "__pycache__", "built"}


def files(root: Path) -> list[Path]:
    """Return the product's files, relative to the checkout."""
    found = (path.relative_to(root) for package in PACKAGES for path in (root / package).rglob("*"))
    return sorted(path for path in found if path.suffix in KINDS and not NOT_OURS & set(path.parts))


def module(path: Path) -> str:
    """Return the dotted name of a module, or of the package that an __init__.py stands for."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def graph(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Return which of our modules each one imports; its package counts only for names from the package's own file."""
    found = {}
    for name, tree in trees.items():
        taken: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                parts = (f"{node.module}.{alias.name}" for alias in node.names)
                taken.update(part if part in trees else node.module for part in parts)
            elif isinstance(node, ast.Import):
                taken.update(alias.name for alias in node.names)
        found[name] = taken & set(trees) - {name}
    return found


def reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    """Return all modules that a module imports, directly or through others."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = edges[waiting.pop()] - seen
        seen |= fresh
        waiting += fresh
    return seen


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or through others."""
    below = {name: reachable(edges, name) for name in edges}
    groups = {frozenset(b for b in below[a] if a in below[b]) for a in edges if a in below[a]}
    return sorted(sorted(group) for group in groups)


def functions(tree: ast.Module) -> list[int]:
    """Return the length of each function in lines, decorators left out."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [node.end_lineno - node.lineno + 1 for node in found if node.end_lineno]


def sizes(numbers: Iterable[int]) -> str:
    """Describe numbers by their count, median, 90th percentile and maximum."""
    ordered = sorted(numbers)
    if not ordered:
        return "none"
    median, high = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.9))
    return f"{len(ordered)}, median {median}, 90 % {high}, max {ordered[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1])
    root = parser.parse_args().folder
    texts = {path: (root / path).read_text() for path in files(root)}
    trees = {module(path): ast.parse(text) for path, text in texts.items() if path.suffix == ".py"}
    folders = Counter((path.parent.as_posix(), path.suffix) for path in texts)
    for (folder, kind), count in sorted(folders.items()):
        print(f"{count:4}  {folder}/*{kind}")
    found = circles(graph(trees))
    print(f"\ncircles of imports: {len(found)}", *(" ↔ ".join(circle) for circle in found), sep="\n  ")
    print("functions, lines:", sizes(length for tree in trees.values() for length in functions(tree)))
    for kind in KINDS:
        print(f"files *{kind}, lines:", sizes(len(t.splitlines()) for path, t in texts.items() if path.suffix == kind))


if __name__ == "__main__":
    main()
