"""The notebooks of examples/ run from start to end, and what is committed of them is whole and small."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from support import warm

if os.environ.get("ACTLAS_DOCS") != "required":
    pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'actlas[dev]'")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install 'actlas[dev]'")

import nbclient
import nbformat

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SMALLER = {
    "first_atlas": 'limit, layer, layout = 24, "_blocks.1", "pca"',
    "own_model": 'count, epochs, layout = 90, 1, "pca"',
}
"""What stands in the cell of parameters when the notebooks are tested."""
LARGEST = 500_000


def read(name: str) -> Any:
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def code(book: Any) -> list[Any]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def errors(book: Any) -> list[str]:
    return [output.evalue for cell in code(book) for output in cell.outputs if output.output_type == "error"]


def pictures(book: Any) -> int:
    outputs = [output for cell in code(book) for output in cell.outputs]
    return sum(bool({"image/png", "image/jpeg"} & set(output.get("data", {}))) for output in outputs)


@pytest.fixture
def ready(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with the command and the kernel of this environment."""
    (tmp_path / "bin").mkdir()
    warm.program(tmp_path_factory, tmp_path / "bin", "actlas", "flows.cli")
    here = [str(tmp_path / "bin"), str(Path(sys.executable).parent)]
    monkeypatch.setenv("PATH", os.pathsep.join([*here, os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def execute(book: Any, folder: Path) -> None:
    nbclient.NotebookClient(book, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()


@pytest.mark.sweep
@pytest.mark.parametrize("name", SMALLER)
def test_a_notebook_runs(name: str, ready: Path) -> None:
    book = read(name)
    [parameters] = [cell for cell in code(book) if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = SMALLER[name]
    execute(book, ready)
    assert pictures(book) == pictures(read(name))


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == set(SMALLER)


@pytest.mark.parametrize("name", SMALLER)
def test_committed_output_is_whole_and_small(name: str) -> None:
    book = read(name)
    assert [cell.execution_count for cell in code(book)] == list(range(1, len(code(book)) + 1))
    assert errors(book) == []
    assert pictures(book) >= 2
    assert (EXAMPLES / f"{name}.ipynb").stat().st_size < LARGEST


def test_mutant_a_command_that_fails_is_seen(ready: Path) -> None:
    cell = nbformat.v4.new_code_cell("%%bash\nactlas top nothing _blocks.10:37 --store nowhere")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="nowhere"):
        execute(nbformat.v4.new_notebook(cells=[cell]), ready)
