"""The house rules that a tool can see: arrows, walls, circles, crowded folders, names that would break others, and torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from support import house
from support.house import ROOT

SOURCES = {name: path.read_text() for name, path in house.modules().items()}
NEVER_IN_ATLAS = {
    *("pathlib", "os", "io", "shutil", "tempfile", "subprocess", "requests", "httpx"),
    *("zarr", "pyarrow", "prefect", "dask", "distributed", "typer", "fastapi", "duckdb", "pyvips"),
}


def names(source: str) -> set[str]:
    """Return the packages that a source imports."""
    return {name.split(".")[0] for name in house.imports(source)}


def test_every_module_has_a_room() -> None:
    assert {house.room(name) for name in SOURCES} <= set(house.ALLOWED)
    assert {name for name in SOURCES if house.room(name) == "flows"} <= {"flows"}
    targets = {target for allowed in house.ALLOWED.values() for target in allowed.split()}
    assert {target for target in targets if target not in SOURCES and target not in house.ALLOWED} == set()


def test_arrows_point_down() -> None:
    wrong = {name: bad for name, source in SOURCES.items() if (bad := house.wrong_arrows(name, source, SOURCES))}
    assert wrong == {}


def test_mutant_arrows_that_point_up_are_seen() -> None:
    """Lazily, for types only, from another package, and past a file that alone may be imported."""
    lazy = "def f():\n    from flows.pipeline import run\n"
    typed = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from flows.viewer.model.worker import ModelWorker\n"
    )
    assert house.wrong_arrows("flows.stages.cells", lazy, SOURCES) == ["flows.pipeline.run"]
    assert house.wrong_arrows("flows.viewer.answers.cells", typed, SOURCES) == ["flows.viewer.model.worker"]
    assert house.wrong_arrows("flows.sheets.unit_card", "from flows.drawing import show", SOURCES) == [
        "flows.drawing.show"
    ]
    assert house.wrong_arrows("flows.sheets.unit_card", "from flows.drawing import answers", SOURCES) == []
    assert house.wrong_arrows("atlas.topk", "def f():\n    from storage.store import store", SOURCES) == [
        "storage.store.store"
    ]
    assert house.wrong_arrows("storage.run", "import atlas.topk", SOURCES) == ["atlas.topk"]
    assert house.wrong_arrows("storage.run", "from atlas.arrays import Layer", SOURCES) == []


def test_libraries_stay_in_their_rooms() -> None:
    assert {name: bad for name, source in SOURCES.items() if (bad := house.broken_walls(name, source))} == {}


def test_mutant_a_library_in_another_room_is_seen() -> None:
    assert house.broken_walls("flows.pipeline.run", "def f():\n    import prefect.states") == ["prefect"]
    assert house.broken_walls("flows.scheduling.serve", "import prefect") == []


def test_no_imports_run_in_circles() -> None:
    assert house.circles(SOURCES) == []


def test_mutant_a_circle_is_seen() -> None:
    lazy = {
        "atlas.a": "import atlas.b",
        "atlas.b": "def f():\n    from atlas import c",
        "atlas.c": "from atlas.a import x",
    }
    assert house.circles(lazy | {"atlas.d": "import atlas.a"}) == [["atlas.a", "atlas.b", "atlas.c"]]


def test_no_folder_is_crowded() -> None:
    assert house.crowded(house.modules().values()) == {}


def test_mutant_a_crowded_folder_is_seen() -> None:
    files = [Path(f"flows/{number}.py") for number in range(house.MOST_FILES + 1)]
    assert house.crowded(files) == {"flows": house.MOST_FILES + 1}
    assert house.crowded([*files[1:], Path("flows/__init__.py")]) == {}


def test_a_room_opens_with_one_sentence() -> None:
    """Its `__init__` imports nothing, but for the two that hand on their face and those that set the environment."""
    for name, path in house.modules().items():
        if path.stem == "__init__" and name not in ("storage", "storage.models", "flows.notebook"):
            tree = ast.parse(path.read_text())
            assert ast.get_docstring(tree), name
            assert set(house.imports(path.read_text())) <= {"os"}, name


def test_atlas_is_pure() -> None:
    for path in sorted((ROOT / "atlas").rglob("*.py")):
        source = path.read_text()
        assert not names(source) & NEVER_IN_ATLAS, path
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"open", "print", "input"}, path


def test_no_file_shadows_a_package() -> None:
    """Prefect puts a flow file's own folder first on sys.path, and an __init__.py in docker/ shadows the Docker SDK."""
    assert house.shadowing(ROOT / "flows" / "scheduling") == set()
    assert not (ROOT / "docker" / "__init__.py").exists()
    assert not {path.name for path in (ROOT / "tests").iterdir()} & set(house.PACKAGES)


def test_mutant_a_file_with_the_name_of_a_package_is_seen(tmp_path: Path) -> None:
    for name in ("queue", "pyarrow", "run_report"):
        (tmp_path / f"{name}.py").touch()
    assert house.shadowing(tmp_path) == {"queue", "pyarrow"}


LOADED = """
import importlib, sys
for name in sys.argv[1].split():
    importlib.import_module(name)
sys.exit(" ".join(name for name in sys.argv[2].split() if name in sys.modules))
"""


def loaded(modules: str, libraries: str) -> str:
    """Return which of these libraries these modules load when they are imported."""
    done = subprocess.run([sys.executable, "-c", LOADED, modules, libraries], capture_output=True, text=True, cwd=ROOT)
    return done.stderr.strip()


def test_questions_load_neither_torch_nor_prefect_nor_zarr() -> None:
    assert loaded("flows.cli flows.questions.runs storage.run", "torch prefect zarr dask") == ""


def test_help_loads_no_library_but_typer() -> None:
    assert loaded("flows.cli", "numpy pyarrow PIL duckdb fastapi torch prefect zarr dask") == ""


def test_mutant_a_command_that_imports_numpy_when_it_is_loaded() -> None:
    assert loaded("flows.cli atlas.model.axes", "numpy torch") == "numpy"


WITHOUT_TORCH = (
    *("flows.glossary", "flows.registry"),
    *(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("questions", "sheets", "comparing", "notebook", "viewer/answers")
        for path in sorted((ROOT / "flows" / room).glob("*.py"))
        if path.stem != "__init__"
    ),
    *(f"flows.drawing.{name}" for name in ("unit_pictures", "patch_gradients", "targets")),
    *(f"flows.viewer.{name}" for name in ("in_process", "page_routes", "model.unit_routes")),
    *("storage", "storage.models", "flows.notebook"),
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


def test_unit_tests_mirror_the_rooms() -> None:
    folders = {path.parent.name for path in (ROOT / "tests" / "unit").rglob("test_*.py")}
    rooms = {room.replace(".", "_") for room in house.ALLOWED} | {"flows_viewer"}
    assert folders - {"atlas_core", "project"} <= rooms


def test_no_server_of_dask_takes_a_fixed_port() -> None:
    """Without an address it takes port 8787, with a warning where that is taken; also where no dashboard is shown."""
    calls = [
        ast.unparse(node)
        for folder in ("flows", "tests", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "node_modules" not in path.parts and "distributed" in (source := path.read_text())
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("distributed.")
        if ast.unparse(node.func).split(".")[-1] in ("LocalCluster", "Scheduler")
    ]
    assert len(calls) > 4
    assert [call for call in calls if "dashboard_address='127.0.0.1:0'" not in call] == []
