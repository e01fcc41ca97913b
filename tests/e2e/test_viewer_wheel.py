"""The wheel carries the built page: installed where there is no npm, `actlas view` shows it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import httpx
import pytest
from support import viewing

from flows.viewer import assets, build

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    viewing.page()
    if not build.BUILT.exists():
        pytest.skip(assets.HOW)
    folder = tmp_path_factory.mktemp("wheel")
    # Not in the checkout's build/: what an earlier build left there would be packed again.
    (folder / "extra.cfg").write_text(f"[build]\nbuild_base = {folder / 'build'}\n")
    # With the setuptools that is here: nothing is asked of a package index.
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"DIST_EXTRA_CONFIG": str(folder / "extra.cfg")}
    )
    if done.returncode and "setuptools" in done.stderr and not viewing.required():
        pytest.skip("setuptools, which builds the wheel, can't be had here")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("actlas-*.whl"))


def test_the_wheel_holds_the_page_and_no_sources_of_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    built = {name.removeprefix("flows/viewer/built/") for name in names if name.startswith("flows/viewer/built/")}
    assert built == {"files.json", *assets.load().files}
    assert not [name for name in names if "node_modules" in name or "/web/" in name]


def test_it_shows_the_page_where_there_is_no_npm(
    wheel: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, store = viewing.shared_run(tmp_path_factory)
    venv.create(tmp_path / "fresh", with_pip=False, symlinks=True)
    python = tmp_path / "fresh" / "bin" / "python"
    place = tmp_path / "fresh" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(place),
        str(wheel),
    ]
    subprocess.run(install, check=True)
    # What the wheel needs is borrowed from here; that folder's own links to this checkout are not read.
    (place / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [str(python), str(place / "bin" / "actlas"), "view", "small", "--no-browser", "--store", str(store)]
    running = subprocess.Popen(command, cwd=tmp_path, env={"PATH": "/nowhere"}, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        page = httpx.get(address).text
        script = page.split('src="')[1].split('"')[0]
        assert httpx.get(address.rsplit("/", 1)[0] + script).status_code == 200
        where = subprocess.run(
            [str(python), "-c", "import flows; print(flows.__file__)"], cwd=tmp_path, capture_output=True, text=True
        )
        assert where.stdout.startswith(str(place))
    finally:
        running.terminate()
        running.wait(20)
