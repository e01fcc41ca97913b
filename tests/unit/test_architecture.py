"""The house rules that a tool can see: which way imports point, what atlas may touch, and names that would break others."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("atlas", "storage", "flows")
MAY_IMPORT = {"atlas": {"atlas"}, "storage": {"storage", "atlas.arrays"}, "flows": {"flows", "storage", "atlas"}}
NEVER_IN_ATLAS = {
    "pathlib",
    "os",
    "io",
    "shutil",
    "tempfile",
    "subprocess",
    "requests",
    "httpx",
    "zarr",
    "pyarrow",
    "prefect",
    "dask",
    "distributed",
    "typer",
    "fastapi",
    "duckdb",
    "pyvips",
}
ONLY_IN_FLOWS = {"prefect", "prefect_dask", "dask", "distributed", "typer", "fastapi", "uvicorn", "duckdb"}


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(source: str) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever in it: `from a import b` gives both `a` and `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def forbidden(package: str, source: str) -> list[str]:
    """Return the imports of our own that this package may not make."""
    allowed = MAY_IMPORT[package]
    return [
        name
        for name in imports(source)
        if name.split(".")[0] in OURS and not any(name == good or name.startswith(good + ".") for good in allowed)
    ]


@pytest.mark.parametrize("package", OURS)
def test_imports_point_one_way(package: str) -> None:
    wrong = {str(path): bad for path in files(package) if (bad := forbidden(package, path.read_text()))}
    assert not wrong


def test_atlas_is_pure() -> None:
    for path in files("atlas"):
        source = path.read_text()
        assert not {name.split(".")[0] for name in imports(source)} & NEVER_IN_ATLAS, path
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"open", "print", "input"}, path


def test_schedulers_and_servers_stay_in_flows() -> None:
    for package in ("atlas", "storage"):
        for path in files(package):
            assert not {name.split(".")[0] for name in imports(path.read_text())} & ONLY_IN_FLOWS, path


def test_no_file_shadows_a_package() -> None:
    """Prefect puts a flow file's own folder first on sys.path, and an __init__.py in docker/ shadows the Docker SDK."""
    risky = {
        "prefect",
        "dask",
        "torch",
        "umap",
        "zarr",
        "storage",
        "atlas",
        "faiss",
        "distributed",
        "typer",
        "types",
        "queue",
    }
    assert not {path.stem for path in (ROOT / "flows").glob("*.py")} & risky
    assert not (ROOT / "docker" / "__init__.py").exists()
    assert not {path.name for path in (ROOT / "tests").iterdir()} & set(OURS)


def test_questions_load_neither_torch_nor_prefect_nor_zarr() -> None:
    heavy = ("torch", "prefect", "zarr", "dask")
    code = f"import sys, flows.cli, flows.questions.runs, storage.run; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


WITHOUT_TORCH = (
    "flows.glossary",
    *(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("questions", "sheets", "comparing", "notebook", "viewer/answers")
        for path in sorted((ROOT / "flows" / room).glob("*.py"))
        if path.stem != "__init__"
    ),
    *(f"flows.drawing.{name}" for name in ("unit_pictures", "patch_gradients", "targets")),
    *(f"flows.viewer.{name}" for name in ("in_process", "page_routes", "model.unit_routes")),
)
"""Questions, sheets, and answers of the viewer: whatever answers from tables."""

LOADS = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "torch" in sys.modules:
        sys.exit(name)
"""


def loading_torch(*names: str, folder: Path = ROOT) -> str:
    """Return the first of these modules that loads torch: where all together load none, none does alone."""
    done = subprocess.run([sys.executable, "-c", LOADS, *names], capture_output=True, text=True, cwd=folder)
    return done.stderr.strip()


def test_questions_sheets_and_answers_load_no_torch() -> None:
    assert len(WITHOUT_TORCH) > 30
    assert loading_torch(*WITHOUT_TORCH) == ""


def test_mutant_a_sheet_that_takes_a_colour_from_beside_torch(tmp_path: Path) -> None:
    (tmp_path / "a_sheet.py").write_text("from beside import colours\n")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "__init__.py").write_text("import torch\n")
    (tmp_path / "beside" / "colours.py").write_text("")
    assert loading_torch("json", "a_sheet", "html", folder=tmp_path) == "a_sheet"


def test_nothing_names_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True).stdout.split(
        "\n"
    )
    prefixes = ["/" + name + "/" for name in ("work", "farm", "root")]
    for name in listed:
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".cff", ".ipynb", ".txt", ".sh", ".js", ".ts"}
            and path.is_file()
        ):
            assert not any(prefix in path.read_text() for prefix in prefixes), name


def test_mutant_imports_are_caught() -> None:
    assert forbidden("atlas", "def f():\n    from storage import store") == ["storage.store"]
    assert forbidden("storage", "import atlas.topk") == ["atlas.topk"]
    assert forbidden("storage", "from atlas.arrays import Layer") == []
