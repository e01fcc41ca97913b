"""The rules of the house as code: who may import whom, which library belongs to which room, what loads no torch."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("atlas", "storage", "flows")
MOST_FILES = 20
"""Modules in a product folder, beside its `__init__`."""

ALLOWED = {
    # flows/, from the bottom up; what is not listed may not be imported
    "flows": "",
    "flows.metrics": "",
    "flows.glossary": "flows.metrics",
    "flows.registry": "",
    "flows.prefect_flow": "flows.scheduling",
    "flows.progress": "",
    "flows.allocator": "",
    "flows.cores": "flows.allocator",
    "flows.config": "flows.registry",
    "flows.guarded_sql": "",
    "flows.questions": "flows.metrics flows.registry flows.guarded_sql",
    "flows.model": "flows.config flows.progress flows.allocator",
    "flows.planning": "flows.model flows.config flows.registry",
    "flows.stages": "flows.planning flows.model flows.questions flows.config flows.registry flows.progress flows.cores "
    "flows.guarded_sql",
    "flows.drawing": "flows.model flows.questions flows.progress flows.cores",
    "flows.pipeline": "flows.stages flows.planning flows.model flows.questions.runs flows.config flows.registry "
    "flows.progress",
    "flows.comparing": "flows.stages flows.registry flows.progress",
    "flows.ablation": "flows.model flows.questions flows.progress flows.cores",
    "flows.audit": "flows.ablation flows.model flows.questions flows.progress flows.cores",
    "flows.one_image": "flows.drawing flows.model flows.questions",
    # what sheets need of drawing and of one image stands in files that load no torch
    "flows.sheets": "flows.drawing.unit_pictures flows.drawing.answers flows.comparing flows.questions "
    "flows.one_image.answers flows.audit.answers flows.audit.sentences",
    "flows.dry_run": "flows.pipeline flows.stages flows.planning flows.model flows.config flows.registry flows.progress "
    "flows.cores",
    "flows.cluster": "flows.pipeline flows.stages flows.planning flows.model flows.config flows.registry flows.progress "
    "flows.cores",
    "flows.scheduling": "flows.cluster flows.pipeline flows.stages flows.planning flows.model flows.config flows.registry "
    "flows.progress flows.cores",
    "flows.viewer.answers": "flows.metrics flows.questions flows.comparing flows.config flows.registry flows.glossary",
    "flows.viewer.model": "flows.viewer.answers flows.one_image flows.drawing flows.model flows.questions",
    "flows.viewer": "flows.viewer.answers flows.viewer.model flows.metrics flows.questions flows.glossary",
    "flows.notebook": "flows.viewer flows.viewer.answers flows.sheets flows.one_image flows.drawing flows.questions "
    "flows.scheduling flows.pipeline flows.model flows.ablation flows.audit",
    "flows.launch": "flows.scheduling flows.cluster flows.dry_run flows.pipeline flows.config flows.progress flows.cores",
    "flows.commands.shared": "flows.questions flows.pipeline flows.model flows.config flows.registry flows.progress flows.cores",
    "flows.commands": "flows.commands.shared flows.ablation flows.audit flows.launch flows.scheduling flows.viewer "
    "flows.viewer.answers flows.sheets flows.one_image "
    "flows.comparing flows.drawing flows.questions flows.pipeline flows.model flows.config flows.registry flows.progress "
    "flows.cores flows.guarded_sql",
    "flows.cli": "flows.commands flows.commands.shared",
    # storage/
    "storage.masking": "",
    "storage.file_kinds": "",
    "storage.errors": "storage.masking",
    "storage.addresses": "storage.masking storage.errors",
    "storage.folders": "storage.errors",
    "storage.memory_cache": "",
    "storage.processes": "",
    "storage.texts": "",
    "storage.store": "storage.errors",
    "storage.models": "storage.addresses storage.file_kinds storage.texts storage.errors",
    "storage.encoders": "storage.models storage.texts storage.errors",
    "storage.artefacts": "storage.store storage.errors",
    "storage.images": "storage.models storage.store storage.addresses storage.masking storage.file_kinds storage.errors",
    "storage.stage_results": "storage.store storage.errors",
    "storage.run": "storage.stage_results storage.artefacts storage.store storage.images storage.models "
    "storage.memory_cache storage.addresses storage.folders storage.errors",
    "storage": "storage.run",
    # atlas/
    "atlas.arrays": "",
    "atlas.boxes": "atlas.arrays",
    "atlas.cells": "atlas.arrays",
    "atlas.colours": "atlas.arrays",
    "atlas.sampling": "atlas.arrays",
    "atlas.model": "atlas.boxes atlas.arrays",
    "atlas.attribution": "atlas.model atlas.boxes atlas.colours atlas.arrays",
    "atlas.inversion": "atlas.attribution atlas.model atlas.arrays",
    "atlas.one_image": "atlas.inversion atlas.attribution atlas.model atlas.arrays",
    "atlas.auditing": "atlas.enrichment atlas.arrays",
    "atlas.meaning": "atlas.arrays",
    "atlas.layout": "atlas.sampling atlas.arrays",
    "atlas.comparing": "atlas.layout atlas.cells atlas.arrays",
    "atlas": "atlas.layout atlas.model atlas.boxes atlas.cells atlas.colours atlas.sampling atlas.arrays",
}
"""Which rooms, or single files, each room may import; a room may import itself, flows/ all of storage/ and
atlas/, and storage/ `atlas.arrays`."""

WALLS = {
    "prefect": ("flows.scheduling",),
    "dask": ("flows.cluster",),
    "distributed": ("flows.cluster",),
    "typer": ("flows.cli", "flows.commands"),
    "fastapi": ("flows.viewer",),
    "starlette": ("flows.viewer",),
    "duckdb": ("flows.guarded_sql",),
}
"""The rooms that may import a library."""


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return the product modules by dotted name."""
    files = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    named = {".".join(path.relative_to(root).with_suffix("").parts): path for path in files if "web" not in path.parts}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


def room(module: str, allowed: Mapping[str, str] = ALLOWED) -> str:
    """Return the room of a module: the longest name of the table that it starts with."""
    parts = module.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((name for name in names if name in allowed), parts[0])


def imports(source: str, known: Iterable[str] = ()) -> Iterator[str]:
    """Yield the modules that a source imports, wherever: in functions and under TYPE_CHECKING, too."""
    known = set(known)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else node.module


def wrong_arrows(module: str, source: str, known: Iterable[str]) -> list[str]:
    """Return the imports of our own that the table does not allow this module."""
    here = room(module)
    allowed = {here, *ALLOWED.get(here, "").split()}
    wrong = []
    for target in imports(source, known):
        package = target.split(".")[0]
        if package not in PACKAGES or target == module:
            continue
        own = module.split(".")[0]
        if (own == "flows" and package != "flows") or (own, target) == ("storage", "atlas.arrays"):
            continue
        if room(target) not in allowed and target not in allowed:
            wrong.append(target)
    return wrong


def broken_walls(module: str, source: str) -> list[str]:
    """Return the libraries that a module imports and whose room it is not in."""
    names = {name.split(".")[0] for name in imports(source)}
    return [
        library
        for library, rooms in WALLS.items()
        if library in names and not any(module == room or module.startswith(room + ".") for room in rooms)
    ]


def circles(sources: Mapping[str, str]) -> list[list[str]]:
    """Return groups of modules that import each other in a circle, lazily or not (Tarjan 1972)."""
    known = set(sources)
    graph = {name: {t for t in imports(text, known) if t in known and t != name} for name, text in sources.items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


def crowded(files: Iterable[Path]) -> dict[str, int]:
    """Return the folders with more modules than allowed."""
    counts: dict[str, int] = {}
    for path in files:
        if path.stem != "__init__":
            counts[path.parent.as_posix()] = counts.get(path.parent.as_posix(), 0) + 1
    return {folder: count for folder, count in counts.items() if count > MOST_FILES}


def shadowing(folder: Path) -> set[str]:
    """Return the files of a folder that would hide an installed package or a standard module, were it on `sys.path`."""
    taken = set(importlib.metadata.packages_distributions()) | set(sys.stdlib_module_names)
    return {path.stem for path in folder.glob("*.py") if path.stem != "__init__"} & taken
