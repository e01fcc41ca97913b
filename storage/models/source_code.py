"""Hash the code of a user's own model: the factory's module, the classes and functions in use, and what they import.

Code is compared by its syntax tree without docstrings, so comments, formatting and the places of files do not count.
Installed packages do not count either, save the one that the factory is in: their part is what comes out of the model.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

Counts = Callable[[str, Path], bool]
"""Whether a module of this name and file counts."""

_OWN = Path(__file__).parents[2]
_code: dict[str, tuple[ModuleType, ModuleSpec | None, str, tuple[str, ...]]] = {}
"""What the file of an imported module held when it was first asked for: a later edit does not change running code."""


def of_own(spec: str, module: nn.Module, parts: Iterable[Any]) -> str:
    """Return a hash of the code behind a model of the user's own, made by the factory `package.module:name`.

    `parts` are objects used beside the module: its preprocessing, the function that finds its scores.
    """
    factory = spec.partition(":")[0]
    package = factory.partition(".")[0]
    start = {factory, *_modules_of(module, parts)}
    return _hash(_follow(start, lambda name, file: name.partition(".")[0] == package or not _installed(file)))


def of_classes(module: nn.Module, parts: Iterable[Any]) -> str:
    """Return a hash of the modules in which a model's classes and functions are written, installed or not."""
    return _hash(f"{name} {_digest(name)[0]}" for name in _modules_of(module, parts) if _file(name) is not None)


def _modules_of(module: nn.Module, parts: Iterable[Any]) -> set[str]:
    """Return the names of the modules of all code that a model runs: classes, their bases, hooks and functions."""
    names = {name for part in parts for name in _names(part)}
    for hooks in (torch_module._global_forward_pre_hooks, torch_module._global_forward_hooks):
        names |= {name for hook in hooks.values() for name in _names(hook)}
    for child in module.modules():
        names |= set(_names(child))
        names |= {name for part in _held(child) for name in _names(part)}
    return names


def _held(module: nn.Module) -> Iterator[Any]:
    """Yield the hooks of a module, and the functions and other objects among its attributes."""
    for value in vars(module).values():
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list | tuple):
            yield from value
        else:
            yield value


def _names(part: Any) -> Iterator[str]:
    """Yield the modules of an object: of a function, of what a partial or a method is made from, of a class and its bases."""
    if isinstance(part, functools.partial):
        for inner in (part.func, *part.args, *part.keywords.values()):
            yield from _names(inner) if callable(inner) else ()
    elif (function := getattr(part, "__func__", None)) is not None:
        yield from (function.__module__, *_names(part.__self__))
    elif isinstance(getattr(part, "__code__", None), type(_names.__code__)):
        yield part.__module__
        for cell in getattr(part, "__closure__", None) or ():
            yield from _names_of_cell(cell)
    else:
        kind = part if isinstance(part, type) else type(part)
        yield from (base.__module__ for base in kind.__mro__)


def _names_of_cell(cell: Any) -> Iterator[str]:
    try:
        inner = cell.cell_contents
    except ValueError:  # not filled
        return
    if callable(inner) and not isinstance(inner, nn.Module):
        yield getattr(inner, "__module__", None) or type(inner).__module__


def _follow(start: Iterable[str], counts: Counts) -> Iterator[str]:
    """Yield names and digests of the modules that count among these and, transitively, those that they import."""
    waiting, done = sorted(start), set[str]()
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if name in done or file is None or _of_this_program(name, file) or not counts(name, file):
            continue
        done.add(name)
        digest, imported = _digest(name)
        yield f"{name} {digest}"
        waiting += [*imported, *filter(None, [name.rpartition(".")[0]])]


def _digest(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a module's code and the names that it imports, as they were when first asked for."""
    module = sys.modules.get(name)
    known = _code.get(name)
    if known is not None and module is known[0] and module.__spec__ is known[1]:
        return known[2], known[3]
    digest, imported = _read(name, _file(name))
    if module is not None:
        _code[name] = (module, module.__spec__, digest, imported)
    return digest, imported


def _read(name: str, file: Path | None) -> tuple[str, tuple[str, ...]]:
    try:
        data = file.read_bytes() if file is not None else b""
    except OSError:  # in an archive, or removed since
        data = _from_loader(name)
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):  # compiled code
        return hashlib.sha256(data).hexdigest(), ()
    return hashlib.sha256(plain(tree).encode()).hexdigest(), tuple(sorted(_imports(name, file, tree)))


def _from_loader(name: str) -> bytes:
    loader = getattr(getattr(sys.modules.get(name), "__spec__", None), "loader", None)
    try:
        source = loader.get_source(name) if loader is not None else None
    except (AttributeError, ImportError, OSError):
        return b""
    return (source or "").encode()


def plain(node: Any) -> str:
    """Return a syntax tree as text, without docstrings, places and empty fields (which versions of Python add)."""
    if isinstance(node, ast.AST):
        fields = ((name, plain(value)) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(f'{name}={text}' for name, text in fields)})"
    if isinstance(node, list):
        return f"[{', '.join(plain(item) for item in node if not _is_text(item))}]"
    return repr(node)


def _is_text(node: Any) -> bool:
    """Whether a statement is a bare string: a docstring, or a comment in its form."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(name: str, file: Path | None, tree: ast.AST) -> Iterator[str]:
    """Yield the names that may be modules imported by this one, in functions too."""
    package = name if file is not None and file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*up, *filter(None, [node.module])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _file(name: str) -> Path | None:
    """Return the file of a module, imported or not; None for one that has none or does not exist."""
    if (module := sys.modules.get(name)) is not None:
        origin = getattr(module, "__file__", None)
        return Path(origin) if origin else None
    parent, _, last = name.rpartition(".")
    candidates = (folder / place for folder in _folders(parent) for place in (f"{last}/__init__.py", f"{last}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _folders(package: str) -> list[Path]:
    """Return where a package's modules are, without importing it."""
    if not package:
        return [Path(entry) for entry in sys.path]
    if (module := sys.modules.get(package)) is not None:
        return [Path(entry) for entry in getattr(module, "__path__", ())]
    parent, _, last = package.rpartition(".")
    return [folder / last for folder in _folders(parent) if (folder / last).is_dir()]


def _of_this_program(name: str, file: Path) -> bool:
    return name.partition(".")[0] in ("atlas", "flows", "storage") and file.is_relative_to(_OWN)


@functools.cache
def _installed(file: Path) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    if {"site-packages", "dist-packages"} & set(file.parts):
        return True
    return any(file.is_relative_to(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib"))


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(set(lines))).encode()).hexdigest()
