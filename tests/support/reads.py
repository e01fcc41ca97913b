"""How a source reads files: what passes the readers of results by."""

from __future__ import annotations

import ast
from collections.abc import Iterator

READERS = ("arrays", "tables")
"""The modules of `storage.artefacts` whose functions verify what they read of a path."""
DRAFTS = ("draft", "store_draft", "self")
"""Names of values whose `path` is not that of a result: a draft is written, not read."""


def by_themselves(source: str) -> list[str]:
    """Return the lines that read a file or go from a result's folder to one, and the files handed to no reader."""
    tree = ast.parse(source)
    handed = {id(node) for node in _handed(tree)}
    return [ast.unparse(node) for node in ast.walk(tree) if _reads(node) or (_is_file(node) and id(node) not in handed)]


def _reads(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return name in ("read_text", "read_bytes", "open", "memmap", "FileResponse")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.left, ast.Attribute):
        owner = node.left.value
        return node.left.attr == "path" and getattr(owner, "id", "") not in DRAFTS
    return False


def _is_file(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "file"


def _handed(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the calls of `Result.file` that a reader gets, as an argument or by a name that nothing else gets."""
    for node in ast.walk(tree):
        if _is_reader(node):
            yield from node.args[:1]
        if isinstance(node, ast.FunctionDef):
            yield from (call for name, call in _named(node) if _only_for_readers(node, name))


def _is_reader(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    return isinstance(node.func.value, ast.Name) and node.func.value.id in READERS


def _named(function: ast.FunctionDef) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and _is_file(node.value) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _only_for_readers(function: ast.FunctionDef, name: str) -> bool:
    handed = {id(argument) for node in ast.walk(function) if _is_reader(node) for argument in node.args}
    uses = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]
    return all(id(node) in handed for node in uses if isinstance(node.ctx, ast.Load))
