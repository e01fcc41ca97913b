"""A fresh environment with the wheel in it, as a user has one: only what the wheel declares can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HIDE = '''"""Hides packages of the borrowed folder: neither they nor their metadata can be found."""
import sys
from importlib.machinery import PathFinder

NAMES = {names!r}
DISTRIBUTIONS = {distributions!r}


class Declared(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if path is None and fullname in NAMES else super().find_spec(fullname, path, target)

    @classmethod
    def find_distributions(cls, *arguments, **options):
        for found in super().find_distributions(*arguments, **options):
            if found.metadata["Name"] not in DISTRIBUTIONS:
                yield found


sys.meta_path[sys.meta_path.index(PathFinder)] = Declared
'''


def make(folder: Path, wheel: Path) -> Path:
    """Make an environment with the wheel, and return its `bin`. Dependencies are borrowed from this environment."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
    # Not with a PYTHONPATH: it may lead to a checkout, and actlas would count as installed.
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*pip, str(wheel)], check=True, env=elsewhere, cwd=folder)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    distributions = undeclared(wheel)
    hide = HIDE.format(names=sorted(modules_of(distributions)), distributions=sorted(distributions))
    (packages / "hide_undeclared.py").write_text(hide)
    (packages / "borrowed.pth").write_text(f"import hide_undeclared\n{sysconfig.get_path('purelib')}\n")
    return python.parent


def undeclared(wheel: Path) -> set[str]:
    """Return the distributions installed here that neither the wheel nor anything it needs declares."""
    declared = {canonicalize_name("actlas")}
    todo = [(requirement, "") for requirement in requirements(wheel)]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        news = [given for given in ("", *requirement.extras) if f"{name}[{given}]" not in declared]
        declared |= {name} | {f"{name}[{given}]" for given in news}
        todo += [(needed, given) for given in news for needed in needs(name)]
    everything = {found.metadata["Name"] for found in metadata.distributions()}
    return {name for name in everything if canonicalize_name(name) not in declared}


def requirements(wheel: Path) -> Iterator[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        yield from map(Requirement, message_from_bytes(archive.read(name)).get_all("Requires-Dist", []))


def needs(name: str) -> list[Requirement]:
    """Return what an installed distribution requires; nothing where it is not installed (another platform's)."""
    try:
        return [Requirement(text) for text in metadata.requires(name) or ()]
    except metadata.PackageNotFoundError:
        return []


def modules_of(distributions: set[str]) -> set[str]:
    """Return the top-level modules that come from these distributions alone."""
    return {name for name, owners in metadata.packages_distributions().items() if set(owners) <= distributions}
